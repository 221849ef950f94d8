# Power cuts: what dmsnap and a writer do to a disk is recorded by dm-log-writes below the physical volumes; then a disk is brought
# to instants of that past, and each time dmsnap and lvm2 must open the volume group, find all that was acknowledged, and change it.
#
# /dev/ubda is the recorded disk with both physical volumes on it, so that there is one order of all writes: a flush of one is a
# flush of both. /dev/ubdb takes the log, /dev/ubdc is brought to the instants, /dev/ubdd takes what those who look at it write.
. "$TOP/tests/vm/afterwards.sh"

half=49152
physical_volumes() { # BASE
    echo "pv1,,,rw,0 $half linear $1 2048;pv2,,,rw,0 $half linear $1 $((2048 + half))"
}

# A group with vg/origin below a writer that knows what it was promised; from here on all is recorded.
record() {
    lvm_conf '^/dev/mapper/pv'
    # Parts of a volume group lie on the disks themselves, too.
    sed -i 's#"a|^/dev/ubd|", ##' /etc/lvm/lvm.conf
    dmsetup create --concise "$(physical_volumes /dev/ubda)"
    dmsnap vg create vg --extent-size 1M /dev/mapper/pv1 /dev/mapper/pv2
    dmsnap volume create vg/origin --size 4M
    "$TOOLS/writer" write /dev/vg/origin "${ring[@]}" --sync none --last 8192 >/tmp/writer
    dmsnap deactivate vg
    dmsetup remove pv1 pv2
    dd if=/dev/ubda of=/dev/ubdc bs=1M iflag=direct oflag=direct status=none
    dmsetup create logged --table "0 $(blockdev --getsz /dev/ubda) log-writes /dev/ubda /dev/ubdb"
    dmsetup create --concise "$(physical_volumes /dev/mapper/logged)"
    dmsnap activate vg
    "$TOOLS/writer" write /dev/vg/origin "${ring[@]}" --direct --first 8193 --state /tmp/state --rest 200000 >/tmp/writer &
    writer=$!
    eventually 10 test -s /tmp/state
    operations=0
    declare -gA before=() behind=()
    acknowledged
}

# From here on this is what there is: the volumes, and the records that are promised.
acknowledged() {
    survey
    volumes[operations]=$rows
    promised[operations]=$("$TOOLS/writer" state /tmp/state acknowledged)
    dmsetup message logged 0 mark "after-$operations"
}

# A command of dmsnap between two marks.
operation() { # ARGUMENT...
    dmsetup message logged 0 mark "within-$((operations + 1))"
    echo "$ dmsnap $*"
    dmsnap -q "$@" >/dev/null
    operations=$((operations + 1))
    acknowledged
}

# One that makes snapshots of vg/origin, and perhaps of others.
cuts() { # NAME ARGUMENT...
    local name=$1
    shift
    before[$name]=$("$TOOLS/writer" state /tmp/state acknowledged)
    operation snapshot create "$@"
    behind[$name]=$("$TOOLS/writer" state /tmp/state started)
}

recorded() {
    kill $writer
    wait $writer || fail "the writer failed"
    dmsnap deactivate vg
    dmsetup remove pv1 pv2 logged
}

# Brings /dev/ubdc to so many instants of what was recorded, drawn by lot, and looks at each.
replay() { # INSTANTS|all
    local most=() line seen=0 of=none out in process status=0
    [ "$1" = all ] || most=(--most "$1")
    coproc replayed { exec "$TOOLS/replay" /dev/ubdb /dev/ubdc --seed "$RANDOM" --from after-0 "${most[@]}"; }
    # shellcheck disable=SC2154 # coproc makes them
    out=${replayed[0]} in=${replayed[1]} process=$replayed_PID
    while IFS= read -r line <&$out; do
        of=${line##*\"of\":} of=${of%%[,\}]*}
        look_at "$line"
        seen=$((seen + 1))
        echo >&$in
    done
    wait $process || status=$?
    equal "status of what brings the disk to its instants" 0 $status
    equal "instants that were looked at" "$of" $seen
    echo "tally: $seen instants replayed, $operations commands recorded"
}

look_at() { # INSTANT
    local instant=$1 mark operation
    echo "$instant"
    mark=${instant##*\"mark\":\"} mark=${mark%%\"*}
    operation=${mark#*-}
    [[ $mark = after-* ]] || operation=$((operation - 1))
    dmsetup create overlay --table "0 $(blockdev --getsz /dev/ubdc) snapshot /dev/ubdc /dev/ubdd N 16"
    dmsetup create --concise "$(physical_volumes /dev/mapper/overlay)"
    opened
    changed
    [ "$rows" = "${volumes[operation]}" ] || { [[ $mark = within-* ]] && [ "$rows" = "${volumes[operation + 1]}" ]; } ||
        fail "there is '$rows', acknowledged was '${volumes[operation]}', under way '${volumes[operation + 1]-nothing}'"
    contents "$operation"
    dmsnap -q deactivate vg >/dev/null
    dmsetup remove pv1 pv2 overlay
}

contents() { # OPERATION
    local name
    records origin "${promised[$1]}" 1000000000
    for name in "${!before[@]}"; do
        [[ " $rows" != *" $name:"* ]] || records "$name" "${before[$name]}" "${behind[$name]}"
    done
}
