# disks: 512M
# timeout: 120

# A command is stopped before each step in its switch, where the volume stands still and so does who writes to it; then it is killed. Within a
# second I/O goes on, with no other command run. The next one puts everything right.
. "$TOP/tests/vm/halted.sh"
busy_origin
killed=0

killed_inside() { # UNDO ARGUMENT...
    local undo=$1 step
    shift
    steps_inside "$@"
    [ ${#inside[@]} -ge 1 ] || fail "nothing was suspended"
    for step in "${inside[@]}"; do
        $undo
        halt_before $step "$@"
        is_suspended || fail "nothing is suspended before step $step"
        kill -KILL $process
        eventually 1 nothing_suspended
        the_writer_goes_on
        wait $process 2>/dev/null || true
        equal "processes left" "" "$(pgrep -x dmsnap || true)"
        dmsnap -q repair vg >/dev/null
        dmsnap check vg || fail "dmsnap check finds something to do"
        kernel_at_rest
        equal "the file" "$known" "$(md5sum <origin/file)"
        echo "$*: killed before step $step"
        killed=$((killed + 1))
    done
}

without() { [ "$(names snapshot vg)" = "${*:2}" ] || dmsnap -q snapshot remove vg/$1; }
with() { [ "$(names snapshot vg)" = "$1" ] || dmsnap -q snapshot create vg/origin --name $1 --size 16M; }
as_it_is() { true; }

killed_inside "without first" snapshot create vg/origin --name first --size 16M

# Whoever comes between the death and the rescue finds the group locked.
without first
halt_before ${inside[0]} snapshot create vg/origin --name first --size 16M
watchdog=$(pgrep -P $process)
kill -STOP $watchdog
kill -KILL $process
wait $process 2>/dev/null || true
is_suspended || fail "nothing is suspended"
status=0
dmsnap -q --no-wait repair vg || status=$?
equal "status of whoever does not wait" 8 $status
kill -CONT $watchdog
dmsnap -q repair vg >/dev/null
nothing_suspended || fail "whoever waited for the lock came too early"

with first
if [ -n "$DMSNAP_LONG" ]; then
    killed_inside "without second first" snapshot create vg/origin --name second --size 16M
    killed_inside as_it_is volume extend vg/origin --size +4M
    without second first
fi
holds_the_file first
killed_inside "with first" snapshot remove vg/first
kill $writer
wait $writer
lvm2_content vg
echo "tally: $killed commands killed inside a switch"
