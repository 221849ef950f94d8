# disks: 2G
# timeout: 180

. "$TOP/tests/vm/csi.sh"
target=/run/csi/target
staging=/run/csi/staging

dmsnap vg create vg /dev/ubda
serve
for kind in ext4 xfs; do
    csi create "pvc-$kind" 320
    csi stage "pvc-$kind" $staging $kind noatime
    csi stage "pvc-$kind" $staging $kind noatime
    fails_with 6 "is staged there as $kind" csi stage "pvc-$kind" $staging "$([ $kind = xfs ] && echo ext4 || echo xfs)"
    csi publish "pvc-$kind" $staging $target $kind
    csi publish "pvc-$kind" $staging $target $kind
    findmnt -n -o FSTYPE,OPTIONS $target | grep -E "$kind.*rw.*noatime"
    echo content >$target/file

    # One place only, and read-only.
    fails_with 9 "is mounted on $target" csi publish "pvc-$kind" $staging $target.2 $kind alone
    csi publish "pvc-$kind" $staging $target.3 $kind ro
    fails_with 1 "Read-only" touch $target.3/other
    fails_with 6 "in another way" csi publish "pvc-$kind" $staging $target.3 $kind
    csi unpublish "pvc-$kind" $target.3

    # Figures, and growth under a snapshot.
    [ "$(csi stats "pvc-$kind" $target | cut -d ' ' -f 1 | xargs)" = "BYTES INODES" ] || fail "no figures"
    size=$(($(stat -f -c '%b * %S' $target)))
    equal "total" $size "$(csi stats "pvc-$kind" $target | awk '/BYTES/ { print $2 }')"
    sync -f $target
    csi snapshot "pvc-$kind" "snapshot-$kind" | grep -x "snapcontent-$kind"
    echo content >>$target/file
    csi expand "pvc-$kind" 400
    csi grow "pvc-$kind" $target | grep -x $((400 << 20))
    grown=$(($(stat -f -c '%b * %S' $target) - size))
    [ $grown -gt $((50 << 20)) ] || fail "$kind grew by $grown bytes"
    fails_with 5 "is not at" csi stats "pvc-$kind" /run

    # The snapshot has the content of the cut.
    mkdir -p /run/snap
    [ $kind = ext4 ] && options=ro || options=ro,nouuid
    mount -o $options "/dev/vg/snapcontent-$kind" /run/snap
    equal "the snapshot's content" content "$(cat /run/snap/file)"
    umount /run/snap

    fails_with 9 "is taken" csi unstage "pvc-$kind" /run
    csi unpublish "pvc-$kind" $target
    [ ! -e $target ] || fail "the target is still there"
    csi unpublish "pvc-$kind" $target
    csi unstage "pvc-$kind" $staging
    csi unstage "pvc-$kind" $staging

    # What was written is there, and is not formatted away.
    csi stage "pvc-$kind" $staging $kind
    equal "lines" 2 "$(wc -l <$staging/file)"
    csi unstage "pvc-$kind" $staging
done
fails_with 9 "an xfs file system" csi stage pvc-xfs $staging ext4

# A signature of another owner is left alone.
csi create pvc-swap 64
mkswap -q /dev/vg/pvc-swap
before=$(md5sum </dev/vg/pvc-swap)
fails_with 9 "carries" csi stage pvc-swap $staging ext4
equal "the device" "$before" "$(md5sum </dev/vg/pvc-swap)"

# A place that is taken, and a volume that is mounted elsewhere.
csi create pvc-a 64
mkdir -p $staging
mount -t tmpfs other $staging
fails_with 9 "is taken" csi stage pvc-a $staging ext4
fails_with 9 "is taken" csi unstage pvc-a $staging
umount $staging
csi stage pvc-a $staging ext4
fails_with 9 "is mounted on $staging" csi stage pvc-a $staging.2 ext4
fails_with 9 "not staged" csi publish pvc-a $staging.2 $target ext4
csi unstage pvc-a $staging

# A device.
csi create pvc-block 64
csi stage pvc-block $staging block
csi publish pvc-block $staging $target block
csi publish pvc-block $staging $target block
[ -b $target ] || fail "no device is at the target"
head -c 1M /dev/urandom >/run/content
dd if=/run/content of=$target bs=1M oflag=direct status=none
fails_with 9 "is mounted on $target" csi publish pvc-block $staging $target.2 block alone
equal "figures" "BYTES $((64 << 20)) 0 0" "$(csi stats pvc-block $target)"
csi unpublish pvc-block $target
csi unstage pvc-block $staging
cmp -n $((1 << 20)) /run/content /dev/vg/pvc-block

# A group, all at one instant.
csi group nightly pvc-a pvc-block | wc -w | grep -x 3
stop
dmsnap check vg
kernel_at_rest
lvm2_content vg
