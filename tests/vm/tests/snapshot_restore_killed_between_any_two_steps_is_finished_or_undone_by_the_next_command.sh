# disks: 128M 128M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
dmsnap snapshot create vg/origin --name stays --size 8M
prepare() { without volume copy; }
the_command() { "$@" snapshot restore vg/stays --to vg/copy --wait; }
# A command ends what is full by then: so many are run until nothing is being filled.
next() {
    "$DMSNAP" -q repair vg
    survey
    ! exists volume copy || eventually 20 is_full
}
is_full() { "$DMSNAP" -q repair vg && [ "$(listed volume vg/copy state)" = active ]; }
judge() {
    hold_the_file stays
    ! exists volume copy || cmp /dev/vg/stays /dev/vg/copy || fail "copy is not what it was restored from"
}
killed_at_every_step "$(each_so_many 6)"
exists volume copy || fail "an acknowledged restore did not happen"
