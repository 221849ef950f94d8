# disks: 256M 128M

for target in snapshot snapshot-origin snapshot-merge clone linear striped; do
    dmsetup targets | grep "^$target " || fail "no target $target"
done
equal "disks" "/dev/ubda /dev/ubdb" "$(echo /dev/ubd?)"
equal "size of the second disk" $((128 << 20)) "$(blockdev --getsize64 /dev/ubdb)"

# Nothing of the host can be written, by root, through any mount of it but the results.
fails_with 1 "Read-only file system" touch /etc/written /usr/written "$TOP/written"
equal "writable mounts of the host" /run/results "$(findmnt -n -t hostfs -O rw -o TARGET)"
touch /run/written /tmp/written /mnt/written /var/lib/written /etc/lvm/written "$RESULTS/written"
equal "the product is reachable" 0 "$(test -x "$DMSNAP"; echo $?)"
