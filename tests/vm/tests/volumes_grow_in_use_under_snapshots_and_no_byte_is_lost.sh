# disks: 1G 1G
# timeout: 300
# Mounted volumes with snapshots grow again and again while fio checks what it wrote and the writer notes what was acknowledged: every
# snapshot keeps its size and its content, those from before and those from between; a snapshot of a striped volume lies in stripes.

dmsnap -q vg create vg /dev/ubda /dev/ubdb >/dev/null
fio=() writer=()
for kind in ext4 xfs; do
    stripes=1
    [ $kind = xfs ] || stripes=2
    dmsnap -q volume create vg/$kind --size 304M --stripes $stripes >/dev/null
    mkfs.$kind -q /dev/vg/$kind
    mkdir $kind
    mount /dev/vg/$kind $kind
    fio --name=$kind --directory=$kind --rw=randwrite --bs=4k --size=16M --verify=crc32c --verify_backlog=256 --verify_fatal=1 \
        --ioengine=psync --direct=1 --rate_iops=200 --time_based --runtime=900 >/tmp/fio.$kind 2>&1 &
    fio[${#fio[@]}]=$!
    "$TOOLS/writer" write $kind/journal --slots 1024 --state /tmp/state.$kind --rest 2000 >/tmp/writer.$kind &
    writer[${#writer[@]}]=$!
done
for kind in ext4 xfs; do eventually 60 test -s $kind/journal; done

sum() { dd "if=$1" iflag=direct bs=1M status=none | md5sum; }

declare -A sums sizes before after
cut_all() { # NUMBER
    local kind
    for kind in ext4 xfs; do before[$kind$1]=$("$TOOLS/writer" state /tmp/state.$kind acknowledged); done
    dmsnap -q snapshot create vg/ext4 vg/xfs --name ext4$1 --name xfs$1 --size 64M --read-only >/dev/null
    for kind in ext4 xfs; do
        after[$kind$1]=$("$TOOLS/writer" state /tmp/state.$kind started)
        sums[$kind$1]=$(sum /dev/vg/$kind$1)
        sizes[$kind$1]=$(blockdev --getsize64 /dev/vg/$kind)
    done
}

for round in 1 2 3; do
    cut_all $round
    for kind in ext4 xfs; do
        had=$(stat -f -c '%b * %S' $kind)
        dmsnap -q volume extend vg/$kind --size +32M --resize-fs >/dev/null
        grown=$(($(stat -f -c '%b * %S' $kind) - ($had)))
        [ $grown -gt $((24 << 20)) ] || fail "$kind grew by $grown bytes"
        # What lies behind the snapshots' end is used.
        head -c 8M /dev/urandom >$kind/more$round
    done
done

for snapshot in {ext4,xfs}{1,2,3}; do
    equal "the size of $snapshot" "${sizes[$snapshot]}" "$(blockdev --getsize64 /dev/vg/$snapshot)"
    equal "what $snapshot holds" "${sums[$snapshot]}" "$(sum /dev/vg/$snapshot)"
done
equal "the stripes of the stores" "2 1" "$(reported vg/ext4'1' stripes) $(reported vg/xfs'1' stripes)"

kill "${writer[@]}"
for pid in "${writer[@]}"; do wait $pid || fail "a writer failed"; done
kill -INT "${fio[@]}"
for pid in "${fio[@]}"; do wait $pid || [ $? = 128 ] || { cat /tmp/fio.*; fail "fio found something else than it wrote"; }; done

mkdir at
for kind in ext4 xfs; do
    "$TOOLS/writer" verify $kind/journal --slots 1024 >/dev/null || fail "the records on $kind are not whole"
    umount $kind
    case $kind in ext4) e2fsck -fn /dev/vg/ext4 ;; xfs) xfs_repair -n /dev/vg/xfs ;; esac >/tmp/fsck 2>&1 ||
        { cat /tmp/fsck; fail "$kind is damaged"; }
    options=ro,norecovery
    [ $kind = ext4 ] || options+=,nouuid
    for round in 1 3; do
        mount -o $options /dev/vg/$kind$round at
        last=$("$TOOLS/writer" verify at/journal --slots 1024 | jq .last) || fail "$kind$round has a hole"
        [ "${before[$kind$round]}" -le "$last" ] && [ "$last" -le "${after[$kind$round]}" ] ||
            fail "the last record of $kind$round is $last, not from ${before[$kind$round]} to ${after[$kind$round]}"
        umount at
    done
done
all_agree vg
