# disks: 256M

# LVM2 knows the driver and takes them.
lvm_conf '^/dev/ram'
modprobe brd rd_nr=2 rd_size=65536
dmsnap vg create made /dev/ram0
dmsnap vg list made || fail "the group that was just made is not found"
