# Devices that are one seen from several sides: the parts show what the whole holds.

found_at() { # DEVICE PATTERN-OF-LEGS
    local device=$1
    equal "lvm2's physical volumes" "$device" "$(pvs --noheadings -o name 2>/dev/null | xargs)"
    strace -f -qq -e trace=open,openat -e signal=none -o /run/trace "$DMSNAP" -q -o json pv list >/run/pvs
    equal "physical volumes" "$device" "$(jq -r '[.pvs[].device] | join(" ")' /run/pvs)"
    not_opened "$2"
}
not_opened() { # PATTERN
    grep -q /dev/ /run/trace || fail "nothing was traced: $(head /run/trace)"
    ! grep -E "\"$1\"" /run/trace || fail "a leg was opened"
}
# The group is changed by dmsnap, and the change is where lvm2 looks for it.
changed() { # PATTERN-OF-LEGS
    strace -f -qq -e trace=open,openat -e signal=none -o /run/trace "$DMSNAP" volume create vg/v --size 8M
    not_opened "$1"
    dmsnap snapshot create vg/v --name s --size 4M
    all_agree vg
    equal "volumes" v "$(names volume vg)"
    dmsnap volume remove vg/v --with-snapshots
    dmsnap volume create vg/w --size 8M
    head -c 4M /dev/urandom >/run/content
    dd if=/run/content of=/dev/vg/w bs=1M oflag=direct status=none
}
