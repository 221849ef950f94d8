# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
prepare() {
    without snapshot before
    exists snapshot s || dmsnap -q snapshot create vg/origin --name s
    echo "since $step" >origin/since
    umount origin
}
the_command() {
    "$@" snapshot rollback vg/s --merge --undo before || return
    unset DMSNAP_KILL_AT
    mount /dev/vg/origin origin
    settled
}

# Any command; then what was rolled back, if it was, is merged to the end.
next() {
    local what=(create vg/next --size 4M)
    ! exists volume next || what=(remove vg/next)
    "$DMSNAP" -q volume "${what[@]}"
    mount /dev/vg/origin origin
    settled
}
settled() {
    merged=false
    while "$DMSNAP" -o json snapshot list vg | jq -e '.snapshots[] | select(.merging)' >/dev/null; do
        merged=true
        "$DMSNAP" repair vg
    done
}
judge() {
    survey
    if exists snapshot s; then
        [ -e origin/since ] || fail "the volume is rolled back, and the snapshot stays"
        ! exists snapshot before || fail "a snapshot is left of what did not happen"
    else
        [ ! -e origin/since ] || fail "the snapshot is gone, and the volume is not rolled back"
        exists snapshot before || fail "the state before is not kept"
        mount -o ro /dev/vg/before snapshot
        equal "the state before" "since $step" "$(cat snapshot/since)"
        umount snapshot
    fi
    hold_the_file s before
}
step=0
killed_at_every_step "$(each_so_many 5)"
