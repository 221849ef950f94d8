# disks: 512M
# timeout: 100

# What lasts longer than freeze_budget is broken off: I/O goes on, and the command fails and has not happened.
. "$TOP/tests/vm/halted.sh"
busy_origin
export DMSNAP_FREEZE_BUDGET=0.5

broken_off() { # the command fails in words, and everything is as before
    local status=0
    kill -CONT $process 2>/dev/null || true
    wait $process || status=$?
    equal "its exit status" 1 $status
    [[ $(</tmp/said) == *"the freeze of vg-origin lasted longer than 0.5 s"*freeze_budget* ]] || fail "it does not say why"
    dmsnap check vg || fail "dmsnap check finds something to do"
    kernel_at_rest
    equal "snapshots" "" "$(names snapshot vg)"
    equal "processes left" "" "$(pgrep -x dmsnap || true)"
}

# A process that is stopped.
snapshot=(snapshot create vg/origin --name s --size 16M)
steps_inside "${snapshot[@]}"
dmsnap -q snapshot remove vg/s
for step in "${inside[@]}"; do
    halt_before $step "${snapshot[@]}"
    eventually 2 nothing_suspended
    the_writer_goes_on
    broken_off
done

# One that is stopped, loses its switch, and is then killed.
halt_before ${inside[0]} "${snapshot[@]}"
eventually 2 nothing_suspended
kill -KILL $process
wait $process 2>/dev/null || true
sleep 0.2
nothing_suspended || fail "something is suspended again"
the_writer_goes_on
dmsnap -q repair vg >/dev/null

# The budget may stand in the settings' file.
unset DMSNAP_FREEZE_BUDGET
echo 'freeze_budget = 0.5' >/tmp/config.toml
halt_before ${inside[0]} --config /tmp/config.toml "${snapshot[@]}"
eventually 2 nothing_suspended
broken_off

# A watchdog that is stopped: the command waits for it half a minute, not for ever.
if [ -n "$DMSNAP_LONG" ]; then
    DMSNAP_FREEZE_BUDGET=3600 halt_before ${inside[0]} "${snapshot[@]}"
    kill -STOP $(pgrep -P $process)
    kill -CONT $process
    eventually 60 halted_or_ended $process
    wait $process || fail "the command fails: $(</tmp/said)"
    equal "processes left" "" "$(pgrep -x dmsnap || true)"
    dmsnap -q snapshot remove vg/s
fi
kill $writer
wait $writer
umount origin

# I/O that does not end below the volume: the suspend waits for it, in the kernel. Whoever waits there is called back.
export DMSNAP_FREEZE_BUDGET=0.5
sectors=$(blockdev --getsz /dev/ubda)
dmsnap deactivate vg
dmsetup create below --table "0 $sectors linear /dev/ubda 0"
lvm_conf '^/dev/mapper/below$'
sed -i 's/"a|^\/dev\/ubd|", //' /etc/lvm/lvm.conf
dmsnap activate vg
halt_before $((inside[0] - 1)) "${snapshot[@]}"
dmsetup suspend --noflush below
dd if=/dev/vg/origin of=/dev/null iflag=direct bs=4k count=1 2>/dev/null &
reader=$!
sleep 0.2
kill -CONT $process
suspended_below_alone() { [ "$(dmsetup info -c --noheadings -o name -S suspended=Suspended)" = below ]; }
sleep 1.5
suspended_below_alone || fail "more is suspended: $(dmsetup info -c)"
dmsetup resume below
wait $reader
broken_off
lvm2_content vg
