# disks: 256M 256M

vgcreate -q vg /dev/ubda /dev/ubdb
lvcreate -q -an -Zn -y -n whole -L 8M vg /dev/ubda
lvcreate -q -an -Zn -y -n partial -L 8M vg /dev/ubdb
dd if=/dev/zero of=/dev/ubdb bs=4k count=1 oflag=direct status=none
lvchange -q -ay vg/whole
lvchange -q -an vg/whole
dmsnap activate vg/whole
dmsnap deactivate vg/whole
fails_with 7 missing dmsnap activate vg/partial
