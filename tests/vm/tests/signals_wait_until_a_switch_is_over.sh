# disks: 512M
# timeout: 100

# A process that is told to end inside its switch ends when nothing is suspended any more. Its watchdog hears no signal either, has of all
# files only its socket, its parent's death, device-mapper and the group's lock, and has its memory locked.
. "$TOP/tests/vm/halted.sh"
busy_origin
snapshot=(snapshot create vg/origin --name s --size 16M)
steps_inside "${snapshot[@]}"

locked() { [ "$(sed -n 's/^VmLck:[ \t]*\([0-9]*\) kB/\1/p' /proc/$1/status)" -gt 0 ]; }

# Interrupts reach background processes only in jobs of their own.
set -m
for signal in TERM HUP INT; do
    dmsnap -q snapshot remove vg/s
    DMSNAP_FREEZE_BUDGET=3600 halt_before ${inside[0]}- "${snapshot[@]}"
    is_suspended || fail "nothing is suspended"
    watchdog=$(pgrep -P $process)
    equal "files of the watchdog" 4 "$(ls /proc/$watchdog/fd | wc -l)"
    locked $process || fail "the process's memory is not locked"
    locked $watchdog || fail "the watchdog's memory is not locked"
    kill -$signal $process $watchdog
    status=0
    # The steps behind its switch are not reached: there it ends.
    while halted $process; do
        kill -CONT $process
        eventually 10 halted_or_ended $process
    done
    wait $process 2>/dev/null || status=$?
    equal "status after $signal" $((128 + $(kill -l $signal))) $status
    nothing_suspended || fail "something is suspended after $signal"
    equal "processes left" "" "$(pgrep -x dmsnap || true)"
    equal "the origin's table" snapshot-origin "$(dmsetup table vg-origin | cut -d ' ' -f 3)"
    dmsnap -q "${snapshot[@]}" >/dev/null
done
the_writer_goes_on
kill $writer
wait $writer
holds_the_file s
all_agree vg
