# disks: 512M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/db --size 64M
dmsnap volume create vg/other --size 256M
mkfs.ext4 -q /dev/vg/db
mkfs.ext4 -q /dev/vg/other 32M
mkdir -p /mnt/fs
mount /dev/vg/db /mnt/fs
mount /dev/vg/other /mnt/fs
size() { dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Block count: *//p'; }
before=$(size /dev/vg/other)
fails_with 6 "" dmsnap volume extend vg/db --size +32M --resize-fs
sync
equal "blocks of the file system of another volume" "$before" "$(size /dev/vg/other)"
