# disks: 64M

# On disks with logical blocks of 4 KiB labels, areas and texts are in the same places, in sectors of 512 bytes; the tools take what
# the other labelled, whichever block size.
for disk in 1 2 3; do truncate -s 64M /run/disk$disk; done
first=$(losetup --sector-size 4096 --find --show /run/disk1)
second=$(losetup --sector-size 4096 --find --show /run/disk2)
third=$(losetup --sector-size 4096 --find --show /run/disk3)
lvm_conf '^/dev/loop'
sed -i 's/types = .*/types = ["ubd", 16]\n    allow_mixed_block_sizes = 1/' /etc/lvm/lvm.conf
equal "block size" 4096 "$(blockdev --getss "$first")"

# dmsnap labels,
dmsnap vg create vg "$first" "$second"
dmsnap volume create vg/v --size 16M
all_agree vg
mkfs.ext4 -q /dev/vg/v
mkdir v s
mount /dev/vg/v v
echo before >v/file
dmsnap snapshot create vg/v --name s --size 8M
echo after >v/file
mount -o ro /dev/vg/s s
equal "the file" "after before" "$(cat v/file s/file | xargs)"
umount v s
all_agree vg
# lvm2 goes on: it takes one more, and snapshots,
vgextend -q vg "$third"
lvcreate -q -s -n theirs -L 8M vg/v
all_agree vg
# and so does dmsnap on what lvm2 labelled.
dmsnap volume create vg/on-third --size 16M --on "$third"
dmsnap snapshot remove vg/theirs
all_agree vg
lvremove -q -y vg/s
dmsnap volume remove vg/v vg/on-third
dmsnap vg remove vg

layout() { dmsnap -o json inspect "$1" | jq -c '[.label.sector, .label.data, [.areas[] | .offset_bytes, .size_bytes]]'; }
equal "where things are" "$(layout "$first")" "$(layout "$third")"
pvremove -q "$third"
dmsnap pv create "$third" /dev/ubda
equal "on blocks of 512 bytes" "$(layout /dev/ubda)" "$(layout "$third")"
