# disks: 100G
# memory: 1536M
# timeout: 900

# dmsnap and lvm2 in turns on the same volume group, of 10, 1 000 and 10 000 volumes: the median of several rounds, from the call to
# the exit. The guest is slow for both; what counts is the ratio. A tag is the least change there is: dmsnap has no command for
# it, so a program on its library makes it, and neither keeps a copy in /etc/lvm then. A rename is a command of both, with copies.

ROUNDS=5
ROW='%8s  %-8s %10s %10s %7s\n'
metadata=$TOOLS/metadata

tenths_of_ms() { # COMMAND...
    local start=$EPOCHREALTIME end
    "$@" >/run/output 2>/run/errors || fail "$*: $(cat /run/errors)"
    end=$EPOCHREALTIME
    sed "s/^/${1##*\/} says: /" /run/errors >>/run/said
    echo $(((${end/./} - ${start/./}) / 100))
}

median() { # NUMBER...
    printf '%s\n' "$@" | sort -n | sed -n $((($# + 1) / 2))p
}

beside() { # VOLUMES WHAT LVM2 DMSNAP: two commands, in which ROUND is the round's number
    local round lvm2=() dmsnap=()
    for ((round = 1; round <= ROUNDS; round++)); do
        # shellcheck disable=SC2086
        lvm2+=("$(tenths_of_ms ${3//ROUND/$round})")
        # shellcheck disable=SC2086
        dmsnap+=("$(tenths_of_ms ${4//ROUND/$round})")
    done
    lvm2=$(median "${lvm2[@]}") dmsnap=$(median "${dmsnap[@]}")
    # shellcheck disable=SC2059
    printf "$ROW" "$1" "$2" "${lvm2%?}.${lvm2: -1}" "${dmsnap%?}.${dmsnap: -1}" \
        "$((lvm2 / dmsnap)).$((lvm2 * 10 / dmsnap % 10))x" >>/run/table
}

# shellcheck disable=SC2059
printf "$ROW" volumes what "lvm2 ms" "dmsnap ms" ratio >/run/table
for count in 10 1000 10000; do
    dmsnap vg create bench /dev/ubda --metadata-size 16M >/dev/null
    "$metadata" populate bench "$count"
    equal "volumes and snapshots that lvm2 sees" $((count - count / 10)) "$(lvs --noheadings -o name bench | wc -l)"
    equal "volumes that dmsnap sees" $((count - 2 * (count / 10))) "$(dmsnap -o json volume list bench | jq '.volumes | length')"
    beside "$count" list "lvs bench" "$DMSNAP volume list bench"
    beside "$count" check "vgck bench" "$DMSNAP check bench"
    beside "$count" tag "lvchange -An --addtag lvm2.ROUND bench/volume00005" "$metadata tag bench volume00005 dmsnap.ROUND"
    beside "$count" rename "lvrename bench/volume00006 bench/other" "$DMSNAP volume rename bench/other volume00006"
    vgck bench
    dd if=/dev/zero of=/dev/ubda bs=1M count=20 oflag=direct status=none
done
[ ! -s /run/said ] || sort -u /run/said >&2
echo "In the guest, beside lvm2 (medians of $ROUNDS rounds):"
cat /run/table
