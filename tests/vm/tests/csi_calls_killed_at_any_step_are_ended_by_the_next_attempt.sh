# disks: 512M
# timeout: 300

# The driver is killed before one of the steps that it takes in a story, and at last once between all of its calls. The call that is
# broken off is repeated, to a new driver; what is left is what a story without deaths leaves.
. "$TOP/tests/vm/csi.sh"
target=/run/csi/target
staging=/run/csi/staging
deaths=0

again() { # CALL...
    local status=0
    csi "$@" || status=$?
    if [ $status != 0 ]; then
        ! csi list volumes || fail "$* failed with $status, and the driver lives"
        wait "$server" || status=$?
        equal "how the driver ended in $*" 137 $status
        deaths=$((deaths + 1))
        serve
        csi "$@"
    elif [ "$kill_at" = between ]; then
        kill -9 "$server"
        wait "$server" || deaths=$((deaths + 1))
        serve
    fi
}

story() {
    again create pvc-1 16
    again stage pvc-1 $staging ext4
    again publish pvc-1 $staging $target ext4
    echo content >$target/file
    again snapshot pvc-1 snapshot-1
    again group nightly pvc-1
    again expand pvc-1 20
    again grow pvc-1 $target
    again create pvc-2 16 snapshot snapcontent-1
    again stage pvc-2 $staging.2 ext4
    equal "the content" content "$(cat $staging.2/file)"
    equal "volumes" "pvc-1 pvc-2" "$(csi list volumes)"
    group=$(csi group nightly pvc-1)
    again unstage pvc-2 $staging.2
    again delete pvc-2
    again forget snapcontent-1
    again disband $group
    again unpublish pvc-1 $target
    again unstage pvc-1 $staging
    again delete pvc-1
    stop
    clean
}

dmsnap vg create vg /dev/ubda --extent-size 1M
kill_at=between
serve
story
echo "$deaths deaths between calls"
[ $deaths -gt 10 ] || fail "only $deaths"

for kill_at in $(seq "$((RANDOM % 47 + 1))" "$(short_or_long 47 1)" 1000); do
    deaths=0
    DMSNAP_KILL_AT=$kill_at serve
    story
    echo "before step $kill_at: $deaths deaths"
    # A story has no more steps than that.
    [ $deaths -gt 0 ] || break
done
[ $kill_at -gt 100 ] || fail "a story has only $kill_at steps"
lvm2_content vg
