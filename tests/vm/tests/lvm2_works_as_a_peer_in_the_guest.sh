# disks: 256M 256M

vgcreate -q vg /dev/ubda /dev/ubdb
lvcreate -q -y -n origin -L 128M vg
mkfs.ext4 -q /dev/vg/origin
mkdir origin snapshot
mount /dev/vg/origin origin
echo before >origin/file
lvcreate -q -s -n snap -L 64M vg/origin
echo after >origin/file
mount -o ro /dev/vg/snap snapshot
equal "the origin" after "$(cat origin/file)"
equal "the snapshot" before "$(cat snapshot/file)"
lvm2_content vg
kernel_at_rest
kernel_state | grep '^vg-snap: 0 262144 snapshot ' || fail "no snapshot in the kernel"

umount origin snapshot
lvremove -q -y vg/snap
lvm2_content vg
vgremove -q -f vg
equal "devices left" "No devices found" "$(dmsetup ls)"
