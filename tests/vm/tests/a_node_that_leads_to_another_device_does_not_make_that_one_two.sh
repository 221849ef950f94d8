# disks: 256M 256M

lvm_conf '^/dev/mapper/x$'
dmsnap vg create vg /dev/ubda
dmsetup create x --table "0 262144 linear /dev/ubdb 0"
rm -f /dev/mapper/x
mknod /dev/mapper/x b $(stat -c '0x%t 0x%T' /dev/ubda)
dmsnap -o wide vg list
dmsnap volume create vg/v --size 8M || fail "a stale node makes a physical volume two"
