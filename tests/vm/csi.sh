# Sourced by the tests of the CSI driver: starts it on the group vg, calls it, and runs csi-sanity.

sanity=$TOP/target/csi-sanity/v5.6.0/csi-sanity
socket=/run/csi/csi.sock

serve() { # ARGUMENT...
    "$DMSNAP" -v csi --endpoint "unix://$socket" --standalone --vg vg --node guest "$@" &
    server=$!
    eventually 20 csi list volumes
}

csi() { CSI_ENDPOINT=unix://$socket "$TOOLS/csi" "$@"; }

# It ends its calls, and takes its socket with it.
stop() {
    kill "$server"
    wait "$server" || fail "the driver ended with $?"
    [ ! -e $socket ] || fail "the socket is still there"
}

# Every test that the driver's capabilities turn on passes; those that are passed over are told, with the reason.
sane() { # ARGUMENT...
    local status=0 report=/run/sanity.json
    [ -x "$sanity" ] || fail "there is no $sanity: tests/setup/csi-sanity.sh builds it"
    "$sanity" -csi.endpoint "unix://$socket" -csi.mountdir /run/csi/target -csi.stagingdir /run/csi/staging \
        -csi.testvolumesize $((16 << 20)) -csi.testvolumeexpandsize $((32 << 20)) -ginkgo.no-color -ginkgo.json-report $report \
        "$@" >/run/sanity.log 2>&1 || status=$?
    [ "$status" = 0 ] || { cat /run/sanity.log; fail "csi-sanity ended with $status"; }
    jq -r '.[].SpecReports[] | select(.LeafNodeType == "It" and .State == "skipped")
        | "skipped: \(.LeafNodeText): \(.Failure.Message // "")"' $report
    grep -E "Passed.*Failed" /run/sanity.log
    passed=$(jq '[.[].SpecReports[] | select(.LeafNodeType == "It" and .State == "passed")] | length' $report)
}

# Nothing is left of what csi-sanity made.
clean() {
    equal "volumes" "" "$(names volume vg)"
    equal "snapshots" "" "$(names snapshot vg)"
    equal "devices" "No devices found" "$(dmsetup info -c --noheadings -o name)"
    ! grep -E "/run/csi" /proc/self/mountinfo || fail "something is still mounted"
    dmsnap check vg
}
