# disks: 64M 64M
# timeout: 1200
# One writer goes round eight volumes, four in each of two groups, and begins no write before the one before it is acknowledged. Each time all
# of them are cut, what the snapshots hold together has no hole; and it is between what was acknowledged before and started after.

origins=() names=() snapshots=()
for group in a b; do
    disk=/dev/ubd$group
    dmsnap -q vg create vg$group $disk --extent-size 1M >/dev/null
    for i in {1..4}; do
        dmsnap -q volume create vg$group/v$i --size 1M >/dev/null
        origins+=(vg$group/v$i) names+=(--name s$group$i) snapshots+=(/dev/vg$group/s$group$i)
    done
done

ring=(--record 16384 --slots 512)
"$TOOLS/writer" write "${origins[@]/#//dev/}" "${ring[@]}" --direct --sync none --last 512 >/dev/null
"$TOOLS/writer" write "${origins[@]/#//dev/}" "${ring[@]}" --direct --sync none --first 513 --state /tmp/state >/tmp/writer &
writer=$!
eventually 60 test -s /tmp/state

cuts=$(short_or_long 15 1000)
[ "$DMSNAP_LONG" != soak ] || cuts=100
for ((cut = 1; cut <= cuts; cut++)); do
    before=$("$TOOLS/writer" state /tmp/state acknowledged)
    dmsnap -q snapshot create "${origins[@]}" "${names[@]}" >/dev/null
    after=$("$TOOLS/writer" state /tmp/state started)
    found=$("$TOOLS/writer" verify "${snapshots[@]}" "${ring[@]}") || fail "cut $cut: there is a hole"
    last=$(jq .last <<<"$found")
    [ "$before" -le "$last" ] && [ "$last" -le "$after" ] || fail "cut $cut: the last is $last, not from $before to $after"
    for group in a b; do dmsnap -q snapshot remove vg$group/s${group}{1..4}; done
done
echo "$cuts cuts without a hole, the last of them at record $last"

# A hole is found where each volume is cut for itself.
for ((try = 1; ; try++)); do
    [ $try -le 20 ] || fail "volumes that are cut one after the other show no hole: the writer does not write"
    for i in {1..8}; do dmsnap -q snapshot create "${origins[8 - i]}" "${names[@]:16 - 2 * i:2}" >/dev/null; done
    holes=0
    "$TOOLS/writer" verify "${snapshots[@]}" "${ring[@]}" 2>/dev/null || holes=1
    for group in a b; do dmsnap -q snapshot remove vg$group/s${group}{1..4}; done
    [ $holes = 0 ] || break
done

fails_with 2 "leave out --on" dmsnap snapshot create vga/v1 vgb/v1 --name x --name y --on /dev/ubda
fails_with 4 "" dmsnap snapshot create vga/v1 vgb/v1 --name x --name v2
equal "what a refused command made" '' "$(names snapshot vga)$(names snapshot vgb)"

kill $writer
wait $writer || fail "the writer failed"
cat /tmp/writer
for group in a b; do all_agree vg$group; done
