# disks: 64M
# timeout: 60

# A store's extents are free only when its device is gone: while dmsnap makes and removes snapshots of a busy volume, lvm2 takes all
# that is free again and again, and no live table may map any of it.
. "$TOP/tests/vm/shell.sh"
dmsnap vg create vg --extent-size 1M /dev/ubda
dmsnap volume create vg/origin --size 8M
until=$((SECONDS + $(short_or_long 6 60)))

snapshots() {
    local status count=0
    while [ $SECONDS -lt $until ]; do
        status=0
        "$DMSNAP" -q snapshot create vg/origin --name s --size 16M >/run/created 2>&1 || status=$?
        case $status in
            0) "$DMSNAP" -q snapshot remove vg/s >/run/removed 2>&1 || { cat /run/removed; exit 1; } ;;
            5) continue ;; # lvm2 has it all
            *) cat /run/created; exit 1 ;;
        esac
        count=$((count + 1))
    done
    echo $count >/run/snapshots
}
writes() { while [ $SECONDS -lt $until ]; do dd if=/dev/urandom of=/dev/vg/origin bs=64k count=8 seek=$((RANDOM % 100)) oflag=direct conv=notrunc status=none; sleep 0.2; done; }

# The live tables, as lines of the array `tables`, against the extents in `said`: /dev/ubda:FIRST-LAST.
nothing_maps_it() {
    local row line name start length type number offset first last
    for row in "${said[@]}"; do
        [[ $row =~ /dev/ubda:([0-9]+)-([0-9]+) ]] || continue
        first=$((2048 + BASH_REMATCH[1] * 2048)) last=$((2048 + (BASH_REMATCH[2] + 1) * 2048)) ranges=$((ranges + 1))
        for line in "${tables[@]}"; do
            read -r name start length type number offset <<<"$line"
            [ "$type" = linear ] && [ "$number" = 98:0 ] || continue
            [ "$offset" -ge $last ] || [ $((offset + length)) -le $first ] || fail "lvm2 was given ${row// /}, and there is $line"
        done
    done
}

snapshots & jobs=($!)
writes & jobs+=($!)
lvm2_shell
rounds=0 ranges=0
while [ $SECONDS -lt $until ]; do
    lvm2_ends_with '  Logical volume "all" created.' 'lvcreate -an -Zn -l 100%FREE -n all vg'
    # At once: a device that is about to go must not have been forgotten already.
    mapfile -t tables < <(dmsetup table)
    lvm2_says 'lvs --noheadings --segments -o seg_pe_ranges vg/all'
    nothing_maps_it
    lvm2_ends_with '  Logical volume "all" successfully removed.' 'lvremove -y vg/all'
    sleep 0.1
    rounds=$((rounds + 1))
done
for job in "${jobs[@]}"; do wait "$job" || fail "one of them failed"; done
echo "$(cat /run/snapshots) snapshots, $rounds times all that was free, in $ranges ranges"
[ "$(cat /run/snapshots)" -gt 0 ] && [ $ranges -gt 0 ] || fail "they did not meet"
all_agree vg
