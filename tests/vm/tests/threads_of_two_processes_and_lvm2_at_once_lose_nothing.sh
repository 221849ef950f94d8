# disks: 2G
# memory: 768M

# Two processes of eight threads each make and remove snapshots in one group, in which lvm2 works as well. Everybody gets a turn: lvm2
# ends while they are at it, and nobody loses anything.

dmsnap vg create vg /dev/ubda --extent-size 1M
dmsnap volume create vg/old --size 4M
"$TOOLS/crowd" a 8 vg >a.said 2>&1 &
first=$!
"$TOOLS/crowd" b 8 vg >b.said 2>&1 &
second=$!
turns=$(short_or_long 3 20)
for ((turn = 0; turn < turns; turn++)); do
    lvcreate -q -an -Zn -n "lvm2_$turn" -l 2 vg
    lvcreate -q -s -n "cut_$turn" -L 4M vg/old
    lvremove -q -f "vg/cut_$turn"
done
wait $first || fail "$(<a.said)"
wait $second || fail "$(<b.said)"
cat a.said b.said
equal "snapshots that are left" "" "$(names snapshot vg)"
wanted=$(printf '%s\n' a{0..7} b{0..7} $(for ((turn = 0; turn < turns; turn++)); do echo lvm2_$turn; done) old | sort | xargs)
equal "volumes that are left" "$wanted" "$(names volume vg)"
all_agree vg
