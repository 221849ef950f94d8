# Writers at full speed against stores of 64 MiB and of 16 MiB: one after the other, and all at once; then without space; and the daemon's
# ends.
# disks: 8G
# timeout: 600

busybox ip link set lo up
dmsnap vg create vg /dev/ubda
dmsnap volume create vg/data --size 1G

start() {
    "$DMSNAP" -v monitor --metrics 127.0.0.1:9560 2>monitor.log &
    monitor=$!
    eventually 20 grep -q 'every store is watched' monitor.log
}

# One line of the metrics, its number.
metric() { # NAME{LABELS}
    local line
    line=$(busybox wget -q -O - http://127.0.0.1:9560/metrics | grep -F "$1 ") || return 1
    echo "${line##* }"
}

# The store of vg/s is larger than it was made: what may be in flight has room.
has_room() { # SIZE
    [ "$(listed snapshot vg/s cow_size_bytes)" -gt "$(numfmt --from=iec "$1")" ]
}

# In pieces on every day: a daemon that gets no processor beside other guests cannot keep up with a writer that does.
fill() { # MIB
    local piece at
    piece=$(short_or_long 8 "$1")
    for ((at = 0; at < $1; at += piece)); do
        dd if=/dev/zero of=/dev/vg/data oflag=direct bs=1M "seek=$at" "count=$piece" status=none
    done
}

# A page in so many chunks of 64 KiB, in any order, which the page cache then writes at once: copies begin long before anything is written.
burst() { # PAGES
    perl -e '
        use IO::Handle;
        my @order = map { $_->[0] } sort { $a->[1] <=> $b->[1] } map { [$_, rand] } 0 .. $ARGV[0] - 1;
        open my $device, "+<", "/dev/vg/data" or die "$!";
        for (@order) { sysseek $device, $_ << 16, 0; syswrite $device, "x" x 4096 or die "$!" }
        $device->sync or die "$!"' "$1"
}

start
throttle=/sys/module/dm_snapshot/parameters/snapshot_copy_throttle
for run in $(seq 1 "$(short_or_long 1 20)"); do
    for chunk in 64k 512k 4k; do
        dmsnap snapshot create vg/data --name s --size 64M --chunk-size $chunk >/dev/null
        eventually 20 metric 'dmsnap_snapshot_store_bytes{vg="vg",snapshot="s",origin="data"}' >/dev/null
        eventually 20 has_room 64M
        # Slow copies pile up.
        echo $((run % 2 ? 5 : 100)) >$throttle
        burst 12000
        equal "the state after a burst into chunks of $chunk in run $run" active "$(listed snapshot vg/s state)"
        echo "burst $run, chunks of $chunk: $(listed snapshot vg/s cow_size_bytes) bytes, $(listed snapshot vg/s used_bytes) used"
        dmsnap snapshot remove vg/s
    done
done
echo 100 >$throttle
for run in $(seq 1 "$(short_or_long 4 100)"); do
    case $((run % 2)) in
        1) dmsnap snapshot create vg/data --name s --size 64M >/dev/null ;;
        0) lvcreate -q -y -s -n s -L 16M vg/data ;;
    esac
    eventually 20 metric 'dmsnap_snapshot_store_bytes{vg="vg",snapshot="s",origin="data"}' >/dev/null
    fill 512
    equal "the state in run $run" active "$(listed snapshot vg/s state)"
    echo "run $run: $(listed snapshot vg/s cow_size_bytes) bytes, $(grep -c 'made larger' monitor.log) extensions so far"
    [ "$(listed snapshot vg/s cow_size_bytes)" -gt $((500 << 20)) ] || fail "the store has not grown"
    all_agree vg
    dmsnap snapshot remove vg/s
done
[ "$(metric 'dmsnap_store_extensions_total{vg="vg"}')" != 0 ] || fail "no extension was counted"

# Killed while a store grows, and started again: it ends what it left, and the store is never full.
kill -TERM "$monitor"
wait "$monitor" || fail "the daemon did not end well: $?"
dmsnap snapshot create vg/data --name s --size 64M
for step in 2 5 8; do
    # It makes room for what may be in flight at its first look.
    DMSNAP_KILL_AT=$step "$DMSNAP" -v monitor 2>monitor.log &
    monitor=$!
    ended=0
    wait "$monitor" || ended=$?
    equal "the end of a daemon that is killed at its step $step" 137 "$ended"
    start
    fill 512
    equal "the state after a kill at step $step" active "$(listed snapshot vg/s state)"
    kill -TERM "$monitor"
    wait "$monitor" || fail "the daemon did not end well: $?"
    all_agree vg
    dmsnap snapshot remove vg/s
    dmsnap snapshot create vg/data --name s --size 64M
done
dmsnap snapshot remove vg/s
start

# Without space the snapshot is lost, the daemon says so before and after, and the writer is not held up.
dmsnap volume create vg/rest --size "$(($(dmsnap -o json vg list vg | jq '.vgs[0].free_bytes') - (160 << 20)))b"
dmsnap snapshot create vg/data --name s --size 64M
fill 512
equal "the state without space" invalid "$(listed snapshot vg/s state)"
eventually 20 metric 'dmsnap_snapshot_state{vg="vg",snapshot="s",origin="data",state="invalid"}'
grep 'cannot grow' monitor.log || fail "nobody said that there was no space"
grep 'vg/s is lost' monitor.log || fail "nobody said that the snapshot was lost"

kill -TERM "$monitor"
wait "$monitor" || fail "the daemon did not end well: $?"
all_agree vg
