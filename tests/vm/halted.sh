# Commands that are halted inside their switch. The product does it itself: DMSNAP_STOP_AT=N is a SIGSTOP before its N-th step (disk
# write, flush, change of a device), N- before each from there on.

is_suspended() { [[ $(dmsetup info -c --noheadings -o suspended) == *Suspended* ]]; }
nothing_suspended() { ! is_suspended; }

# In vg/origin a mounted file system with a known file, and somebody who writes to it. Nothing else may touch it while it is suspended.
busy_origin() {
    dmsnap vg create vg /dev/ubda
    dmsnap volume create vg/origin --size 64M
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/vg/origin
    mkdir origin snapshot
    mount /dev/vg/origin origin
    head -c 1M /dev/urandom >origin/file
    known=$(md5sum <origin/file)
    "$TOOLS/writer" write origin/journal --slots 512 --state /tmp/state --rest 2000 >/tmp/writer &
    writer=$!
    eventually 30 test -s origin/journal
}

acknowledged() { "$TOOLS/writer" state /tmp/state acknowledged; }
wrote_since() { [ "$(acknowledged)" -gt "$1" ]; } # NUMBER
the_writer_goes_on() { eventually 1 wrote_since "$(acknowledged)"; }

holds_the_file() { # SNAPSHOT
    mount -o ro /dev/vg/$1 snapshot
    equal "the file in $1" "$known" "$(md5sum <snapshot/file)"
    umount snapshot
}

# Z when it has ended, T when it is stopped.
state_of() { sed -n 's/^State:\t\(.\).*/\1/p' /proc/$1/status 2>/dev/null || echo Z; }
halted_or_ended() { [[ $(state_of $1) == [TZ] ]]; }
halted() { [ "$(state_of $1)" = T ]; }

# Starts a command in the background that is halted before a step, or with a - before each from there on, if it has so many. Its process is $process.
halt_before() { # STEP ARGUMENT...
    DMSNAP_STOP_AT=$1 "$DMSNAP" -q "${@:2}" >/tmp/said 2>&1 &
    process=$!
    eventually 10 halted_or_ended $process
}

# Lets a command run from step to step, and notes those before which something is suspended: $inside.
steps_inside() { # ARGUMENT...
    local step=1
    inside=()
    DMSNAP_FREEZE_BUDGET=3600 halt_before 1- "$@"
    while halted $process; do
        ! is_suspended || inside+=($step)
        step=$((step + 1))
        kill -CONT $process
        eventually 10 halted_or_ended $process
    done
    wait $process || fail "$* is not done: $(</tmp/said)"
    echo "$*: in its switch before the steps ${inside[*]}"
}
