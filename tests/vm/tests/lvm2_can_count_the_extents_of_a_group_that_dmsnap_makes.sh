# disks: 256M 256M

# A device of 20 TiB that stores what is written to it.
lvm_conf '^/dev/mapper/huge$'
dmsetup create base --table "0 $((20 << 31)) zero"
dmsetup create store --table "0 262144 linear /dev/ubda 8192"
dmsetup create huge --table "0 $((20 << 31)) snapshot /dev/mapper/base /dev/mapper/store N 8"
fails_with 5 "too large for extent size" vgcreate -q -s 4k vg /dev/mapper/huge
pvremove -q -ff -y /dev/mapper/huge
fails_with 2 "LVM2 cannot count" dmsnap vg create vg /dev/mapper/huge --extent-size 4k
dmsnap vg create vg /dev/mapper/huge --extent-size 8k
equal "the group's size" "$(dmsnap -o json vg list vg | jq '.vgs[0].size_bytes')" \
    "$(vgs --noheadings --nosuffix --units b -o vg_size vg | tr -d ' ')"
lvm2_content vg
