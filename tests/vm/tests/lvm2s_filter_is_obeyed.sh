# disks: 256M 256M

# The second disk is a copy of the first, and lvm2 is told so.
vgcreate -q vg /dev/ubda
dd if=/dev/ubda of=/dev/ubdb bs=1M iflag=direct oflag=direct status=none
sed -i 's#"a|^/dev/ubd|"#"a|^/dev/ubda$|"#' /etc/lvm/lvm.conf
lvcreate -q -y -n v -L 16M vg
dmsnap snapshot create vg/v --name s
