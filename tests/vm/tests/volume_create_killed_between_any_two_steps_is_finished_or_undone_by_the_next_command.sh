# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
prepare() { without volume v; }
the_command() { "$@" volume create vg/v --size 8M; }
judge() {
    ! exists volume v || dd if=/dev/urandom of=/dev/vg/v bs=1M count=8 oflag=direct status=none
}
killed_at_every_step "$(each_so_many 6)"
exists volume v || fail "an acknowledged volume is not there"
