# disks: 256M 256M

vgcreate -q away /dev/ubda
lvcreate -q -an -Zn -y -n v -L 8M away
vgexport -q away
vgcreate -q here /dev/ubdb
lvcreate -q -an -Zn -y -n v -L 8M here
vgchange -q -ay || fail "lvm2 minds, too"
vgchange -q -an here
# "none named: all" cannot mean those that this host must not touch.
dmsnap check || fail "nothing differs, and check fails"
dmsnap activate || fail "all is active that can be, and activate fails"
kernel_state | grep '^here-v: ' || fail "here/v is not active"
