# disks: 3G
# timeout: 240

. "$TOP/tests/vm/csi.sh"
source=/run/csi/source
staging=/run/csi/staging
uuid() { blkid -p -s UUID -o value "/dev/vg/$1"; }
is_full() { dmsnap -q repair vg && [ "$(listed volume "vg/$1" state)" = active ]; }

dmsnap vg create vg /dev/ubda
serve
for kind in ext4 xfs; do
    csi create "pvc-$kind" 320
    csi stage "pvc-$kind" $source $kind
    echo content >$source/file
    csi snapshot "pvc-$kind" "snapshot-$kind"
    echo later >>$source/file
    sync -f $source

    # Larger, beside the one that it came from, at once.
    echo 1 >/sys/module/dm_clone/parameters/clone_hydration_throttle
    csi create "restored-$kind" 400 snapshot "snapcontent-$kind"
    fails_with 9 "being filled from it" csi forget "snapcontent-$kind"
    csi stage "restored-$kind" $staging $kind
    equal "the content" content "$(cat $staging/file)"
    grown=$(($(stat -f -c '%b * %S' $staging) - $(stat -f -c '%b * %S' $source)))
    [ $grown -gt $((50 << 20)) ] || fail "$kind grew by $grown bytes"
    own=$(uuid "restored-$kind")
    [ "$own" != "$(uuid "pvc-$kind")" ] || fail "both file systems are $own"
    echo more >$staging/other
    csi unstage "restored-$kind" $staging

    # A reader changes nothing.
    csi create "read-$kind" 320 snapshot "snapcontent-$kind"
    csi stage "read-$kind" $staging $kind reader
    equal "the content" content "$(cat $staging/file)"
    fails_with 1 "Read-only" touch $staging/other
    equal "its UUID" "$(uuid "pvc-$kind")" "$(uuid "read-$kind")"
    csi unstage "read-$kind" $staging
    csi delete "read-$kind"

    # What the volume holds now, without a snapshot that anybody sees.
    csi create "clone-$kind" 320 volume "pvc-$kind"
    echo never >>$source/file
    csi stage "clone-$kind" $staging $kind
    equal "the content" "content later" "$(xargs <$staging/file)"
    csi unstage "clone-$kind" $staging
    equal "snapshots" "snapcontent-$kind" "$(csi list snapshots)"

    # Full, it is a volume like any other, and stays what it is without its source.
    echo 100 >/sys/module/dm_clone/parameters/clone_hydration_throttle
    eventually 60 is_full "restored-$kind"
    eventually 60 is_full "clone-$kind"
    csi forget "snapcontent-$kind"
    csi unstage "pvc-$kind" $source
    csi delete "pvc-$kind"
    csi stage "restored-$kind" $staging $kind
    equal "the content" "content more" "$(cat $staging/file $staging/other | xargs)"
    equal "its UUID" "$own" "$(uuid "restored-$kind")"
    csi unstage "restored-$kind" $staging
done

# The file systems are sound.
e2fsck -fn /dev/vg/restored-ext4
xfs_repair -n /dev/vg/restored-xfs
stop
dmsnap check vg
kernel_at_rest
lvm2_content vg
