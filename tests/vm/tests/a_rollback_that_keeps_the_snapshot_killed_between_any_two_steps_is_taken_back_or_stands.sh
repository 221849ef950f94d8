# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
dmsnap -q snapshot create vg/origin --name s
prepare() {
    without snapshot before
    echo "since $step" >origin/since
    umount origin
}
the_command() {
    "$@" snapshot rollback vg/s --undo before || return
    unset DMSNAP_KILL_AT
    mount /dev/vg/origin origin
    settled
}

# Any command; then what was rolled back, if it was, is filled to the end.
next() {
    local what=(create vg/next --size 4M)
    ! exists volume next || what=(remove vg/next)
    "$DMSNAP" -q volume "${what[@]}"
    mount /dev/vg/origin origin
    settled
}
settled() {
    eventually 60 is_full
}
is_full() { "$DMSNAP" -q repair vg && [ "$(listed volume vg/origin state)" = active ]; }
judge() {
    survey
    exists snapshot s || fail "the snapshot is gone"
    if exists snapshot before; then
        [ ! -e origin/since ] || fail "the state before is kept, and the volume is not rolled back"
        mount -o ro /dev/vg/before snapshot
        equal "the state before" "since $step" "$(cat snapshot/since)"
        umount snapshot
    else
        [ -e origin/since ] || fail "the volume is rolled back, and the state before is not kept"
    fi
    hold_the_file s before
}
step=0
killed_at_every_step "$(short_or_long 7 1)"
exists snapshot before || fail "an acknowledged rollback did not happen"
