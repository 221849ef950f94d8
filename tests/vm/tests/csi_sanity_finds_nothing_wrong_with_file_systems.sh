# disks: 1G
# timeout: 180

. "$TOP/tests/vm/csi.sh"
dmsnap vg create vg /dev/ubda
serve
sane -csi.testvolumeaccesstype mount
[ "$passed" -ge 77 ] || fail "only $passed tests passed"
stop
clean
lvm2_content vg
