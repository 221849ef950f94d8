# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
prepare() {
    exists volume v || dmsnap -q volume create vg/v --size 8M
    exists snapshot s || dmsnap -q snapshot create vg/v --name s --size 4M
}
the_command() { "$@" volume remove vg/v --with-snapshots; }
judge() {
    ! exists snapshot s || exists volume v || fail "a snapshot without its origin"
}
killed_at_every_step "$(each_so_many 6)"
! exists volume v || fail "an acknowledged removal did not happen"
