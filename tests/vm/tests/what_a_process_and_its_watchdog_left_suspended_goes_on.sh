# A command is killed inside its switch, and its watchdog with it, as a control group is killed: nobody is left who would resume the volume.
# The monitor does, at once when it begins, and within half a minute when it is there.
# disks: 512M
# timeout: 150
. "$TOP/tests/vm/halted.sh"
busy_origin
busybox ip link set lo up

start() {
    "$DMSNAP" -v monitor --metrics 127.0.0.1:9560 2>monitor.log &
    monitor=$!
    eventually 20 grep -q 'every store is watched' monitor.log
}

suspended_for() { busybox wget -q -O - http://127.0.0.1:9560/metrics | sed -n 's/^dmsnap_vg_suspended_seconds{vg="vg"} //p'; }
is_told() { [[ $(suspended_for) != 0.0 ]]; }

killed_with_its_watchdog() { # ARGUMENT...
    halt_before ${inside[0]} "$@"
    is_suspended || fail "nothing is suspended"
    local watchdog
    watchdog=$(pgrep -P $process)
    kill -STOP $watchdog
    kill -KILL $process $watchdog
    wait $process 2>/dev/null || true
    is_suspended || fail "somebody has resumed it"
}

steps_inside snapshot create vg/origin --name first --size 16M
dmsnap -q snapshot remove vg/first

killed_with_its_watchdog snapshot create vg/origin --name first --size 16M
start
eventually 5 nothing_suspended
the_writer_goes_on
grep 'go on' monitor.log || fail "nobody said so"

killed_with_its_watchdog snapshot create vg/origin --name second --size 16M
eventually 30 is_told
eventually 45 nothing_suspended
the_writer_goes_on

kill -TERM "$monitor"
wait "$monitor" || fail "the daemon did not end well: $?"
equal "the snapshots" "" "$(names snapshot vg)"
dmsnap -q repair vg >/dev/null
equal "the file" "$known" "$(md5sum <origin/file)"
kill $writer
wait $writer || true
umount origin
all_agree vg
