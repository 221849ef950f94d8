# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
dmsnap snapshot create vg/origin --name first --size 8M
prepare() { without snapshot s; }
the_command() { "$@" snapshot create vg/origin --name s --size 8M --chunk-size 16k; }
judge() {
    exists snapshot first || fail "the first snapshot is gone"
    hold_the_file first s
}
killed_at_every_step "$(each_so_many 6)"
exists snapshot s || fail "an acknowledged snapshot is not there"
