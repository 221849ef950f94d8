# disks: 256M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/v --size 16M
mkfs.ext4 -F -q /dev/vg/v
mkdir -p /mnt/v
mount -o ro /dev/vg/v /mnt/v
status=0
dmsnap volume extend vg/v --size +4M --resize-fs || status=$?
[ $status != 0 ] || fail "a read-only file system was grown"
equal "the volume's size" $((16 << 20)) "$(listed volume vg/v size_bytes)"
dmsnap --dry-run volume extend vg/v --size +4M --resize-fs && fail "a dry run saw no hindrance"
true
