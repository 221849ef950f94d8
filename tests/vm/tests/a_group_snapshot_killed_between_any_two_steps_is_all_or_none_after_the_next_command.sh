# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
dmsnap volume create vg/other --size 8M
prepare() {
    without snapshot s
    without snapshot t
}
the_command() { "$@" snapshot create vg/origin vg/other --name s --name t --size 4M; }
judge() {
    if exists snapshot s; then
        exists snapshot t || fail "one of the two: s"
    else
        ! exists snapshot t || fail "one of the two: t"
    fi
    hold_the_file s
}
killed_at_every_step "$(each_so_many 6)"
exists snapshot t || fail "an acknowledged snapshot is not there"
