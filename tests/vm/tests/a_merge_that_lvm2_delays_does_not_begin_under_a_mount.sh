# disks: 256M 256M

vgcreate -q vg /dev/ubda /dev/ubdb
lvcreate -q -y -n origin -L 32M vg
lvcreate -q -y -s -n old -L 16M vg/origin
lvcreate -q -y -s -n other -L 16M vg/origin
mkfs.ext4 -q /dev/vg/origin
mkdir origin
mount /dev/vg/origin origin
lvconvert -q --merge vg/old # "Delaying merge since origin is open."
kernel_state | grep '^vg-origin: .* snapshot-origin ' || fail "lvm2 did not delay the merge"

# What lvm2 left is in order, and whatever else is done to this family leaves the mounted volume alone.
dmsnap check vg || fail "the delayed merge is taken for a difference"
dmsnap snapshot remove vg/other
kernel_state | grep '^vg-origin: .* snapshot-origin ' || fail "the merge began under the mounted file system"
