# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
dmsnap snapshot create vg/origin --name stays --size 8M
prepare() { exists snapshot s || dmsnap -q snapshot create vg/origin --name s --size 8M; }
the_command() { "$@" snapshot remove vg/s; }
judge() {
    exists snapshot stays || fail "the other snapshot is gone"
    hold_the_file stays s
}
killed_at_every_step "$(each_so_many 6)"
! exists snapshot s || fail "an acknowledged removal did not happen"
