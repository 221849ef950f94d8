# disks: 256M

vgcreate -q vg /dev/ubda
lvcreate -q -y -n fenced -L 8M vg
lvchange -q -an vg/fenced
lvchange -q -ky vg/fenced
vgchange -q -ay vg
equal "what lvm2 activates" "No devices found" "$(dmsetup ls)"
dmsnap activate vg
equal "what dmsnap activates" "No devices found" "$(dmsetup ls)"
