# disks: 1536M
# timeout: 120

dmsnap vg create vg /dev/ubda
mkdir -p /mnt/ext4 /mnt/xfs
for kind in ext4 xfs; do
    dmsnap volume create vg/$kind --size 320M
    mkfs.$kind -q /dev/vg/$kind
    mount /dev/vg/$kind /mnt/$kind
    echo before >/mnt/$kind/file
    dmsnap snapshot create vg/$kind --name $kind-snap --size 64M
    size=$(stat -f -c '%b * %S' /mnt/$kind)
    dmsnap volume extend vg/$kind --size +128M --resize-fs
    grown=$(($(stat -f -c '%b * %S' /mnt/$kind) - ($size)))
    [ $grown -gt $((100 << 20)) ] || fail "$kind grew by $grown bytes"
    echo after >/mnt/$kind/file
    umount /mnt/$kind
    case $kind in ext4) e2fsck -fn /dev/vg/ext4 ;; xfs) xfs_repair -n /dev/vg/xfs ;; esac
    equal "the snapshot's size" $((320 << 20)) "$(blockdev --getsize64 /dev/vg/$kind-snap)"
done
mount -o ro /dev/vg/ext4-snap /mnt/ext4
equal "the snapshot's file" before "$(cat /mnt/ext4/file)"
umount /mnt/ext4
dmsnap check vg
kernel_at_rest
lvm2_content vg
