# Fifty snapshots of a mounted file system under two loads: fio, which nobody can follow, and the writer, which notes what fdatasync
# acknowledged. Up to four snapshots live side by side; each is judged when three more have been made behind it.

declare -A acknowledged started

fifty_snapshots() { # ext4|xfs
    local i
    filesystem=$1
    dmsnap vg create vg /dev/ubda
    dmsnap volume create vg/origin --size 512M
    mkfs.$filesystem -q /dev/vg/origin
    mkdir origin snapshot
    mount /dev/vg/origin origin
    load_on
    for i in {1..50}; do
        acknowledged[$i]=$("$TOOLS/writer" state /tmp/state acknowledged)
        dmsnap -q snapshot create vg/origin --name s$i >/dev/null
        started[$i]=$("$TOOLS/writer" state /tmp/state started)
        [ $i -le 3 ] || judge $((i - 3))
    done
    for i in 48 49 50; do judge $i; done
    load_off

    umount origin
    sound /dev/vg/origin
    dmsnap check vg
    kernel_at_rest
    lvm2_content vg
    equal "snapshots left" '[]' "$(dmsnap -o json snapshot list vg | jq -c .snapshots)"
    dmsnap volume remove vg/origin
    equal "devices left" "No devices found" "$(dmsetup ls)"
}

load_on() {
    mkdir origin/fio
    fio --name=busy --directory=origin/fio --rw=randwrite --bsrange=4k-64k --size=32M --nrfiles=8 --fsync=16 --rate_iops=100 \
        --ioengine=psync --time_based --runtime=3600 >/tmp/fio 2>&1 &
    fio=$!
    "$TOOLS/writer" write origin/journal --slots 4096 --state /tmp/state --rest 2000 >/tmp/writer &
    writer=$!
    eventually 60 test -s origin/journal
    eventually 60 test -e origin/fio/busy.0.7
}

load_off() {
    kill $writer
    wait $writer || fail "the writer failed"
    kill -INT $fio
    wait $fio || [ $? = 128 ] || { cat /tmp/fio; fail "fio failed"; }
    cat /tmp/writer
}

# Log replay by a writable mount, then what the snapshot holds, then the file system's own checker.
judge() { # NUMBER
    local options=rw found last
    [ $filesystem != xfs ] || options+=,nouuid
    mount -o $options /dev/vg/s$1 snapshot
    found=$("$TOOLS/writer" verify snapshot/journal --slots 4096) || fail "snapshot $1: the records are not whole"
    last=$(jq .last <<<"$found")
    echo "snapshot $1: acknowledged before it ${acknowledged[$1]}, last in it $last, started after it ${started[$1]}"
    [ "$last" -ge "${acknowledged[$1]}" ] || fail "snapshot $1 lacks acknowledged records"
    [ "$last" -le "${started[$1]}" ] || fail "snapshot $1 holds records of after its cut"
    umount snapshot
    sound /dev/vg/s$1
    dmsnap -q snapshot remove vg/s$1
}

sound() { # DEV
    case $filesystem in
    ext4) e2fsck -fn "$1" >/tmp/fsck 2>&1 ;;
    xfs) xfs_repair -n "$1" >/tmp/fsck 2>&1 ;;
    esac || { cat /tmp/fsck; fail "$1 is damaged"; }
}
