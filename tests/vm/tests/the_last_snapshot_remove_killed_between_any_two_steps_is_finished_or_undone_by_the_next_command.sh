# disks: 64M 64M
# timeout: 600

. "$TOP/tests/vm/killed.sh"
killing_ground
prepare() { exists snapshot s || dmsnap -q snapshot create vg/origin --name s --size 8M; }
the_command() { "$@" snapshot remove vg/s; }
judge() { hold_the_file s; }
killed_at_every_step "$(each_so_many 6)"
equal "the origin without snapshots" linear "$(dmsetup table vg-origin | cut -d' ' -f3)"
