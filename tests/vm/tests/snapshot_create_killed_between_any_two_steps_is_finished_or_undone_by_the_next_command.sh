# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
prepare() { without snapshot s; }
the_command() { "$@" snapshot create vg/origin --name s --size 8M; }
judge() { hold_the_file s; }
killed_at_every_step "$(each_so_many 3)"
exists snapshot s || fail "an acknowledged snapshot is not there"
