# Test 22 of those that an independent implementation must pass: merges, online and not, and finished by either tool.
# disks: 256M 256M
# timeout: 180

change() { # DEVICE: 24 MiB of it, scattered
    for place in 0 3 7; do dd if=/dev/urandom of="$1" oflag=direct bs=1M count=8 seek=$((place * 8)) status=none; done
}
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
throttle() { echo "$1" >/sys/module/dm_snapshot/parameters/snapshot_copy_throttle; }
gone() { [ -z "$(dmsnap -o json snapshot list vg | jq -r ".snapshots[] | select(.name == \"$1\") | .name")" ]; }
merged() { [ "$(dmsnap -o json snapshot list "vg/$1" | jq -r '.snapshots[0].progress_percent')" = 100 ]; }

dmsnap vg create vg /dev/ubda /dev/ubdb
dmsnap volume create vg/o --size 64M
change /dev/vg/o
dmsnap snapshot create vg/o --name s
cut=$(sum /dev/vg/o)
change /dev/vg/o

# At once, and to the end.
throttle 1
dmsnap snapshot rollback vg/o --merge && fail "a volume is no snapshot"
dmsnap -o json snapshot rollback vg/s --merge | tee /run/said
fails_with 6 "being merged" dmsnap snapshot remove vg/s
fails_with 6 "being merged" dmsnap snapshot rollback vg/s --merge
equal "the volume at once" "$cut" "$(sum /dev/vg/o)"
equal "what is said" "merging true" "$(jq -r '.volumes[0].state + " " + (.frozen_ms != null | tostring)' /run/said)"
dmsnap snapshot list vg
lvm2_content vg
throttle 100
eventually 60 merged s
agreed vg volume create vg/other --size 4M
gone s || fail "the next command did not finish the merge"
equal "the volume" "$cut" "$(sum /dev/vg/o)"

# Beside another snapshot, with the state before kept; and back again. The kernel copies for the others before it lets the volume go on:
# unthrottled.
dmsnap snapshot create vg/o --name s
dmsnap snapshot create vg/o --name sibling
change /dev/vg/o
later=$(sum /dev/vg/o)
agreed vg snapshot rollback vg/s --merge --undo before --wait
equal "the volume" "$cut" "$(sum /dev/vg/o)"
equal "the other snapshot" "$cut" "$(sum /dev/vg/sibling)"
equal "the state before" "$later" "$(sum /dev/vg/before)"
agreed vg snapshot remove vg/sibling
change /dev/vg/o
agreed vg snapshot rollback vg/before --merge --wait
equal "undone" "$later" "$(sum /dev/vg/o)"
gone before || fail "it did not wait"

# One of ours that lvm2 finishes; one of lvm2's that we finish.
agreed vg snapshot create vg/o --name ours
change /dev/vg/o
dmsnap snapshot rollback vg/ours --merge
equal "the volume" "$later" "$(sum /dev/vg/o)"
vgchange -q --poll y vg
eventually 60 lvm2_knows_not vg/ours
all_agree vg
equal "when lvm2 has finished it" "$later" "$(sum /dev/vg/o)"
lvcreate -q -y -s -n theirs -L 48M vg/o
change /dev/vg/o
throttle 1
lvconvert -q -b -i +3600 --merge vg/theirs # It looks for the first time in an hour.
equal "state of lvm2's" merging "$(listed snapshot vg/theirs state)"
throttle 100
eventually 60 merged theirs
agreed vg repair vg
gone theirs || fail "lvm2's merge was not finished"
equal "lvm2's, finished" "$later" "$(sum /dev/vg/o)"

# Both at once: whoever comes second finds nothing to do.
for n in 1 2 3; do
    dmsnap snapshot create vg/o --name "race$n"
    change /dev/vg/o
    dmsnap snapshot rollback "vg/race$n" --merge --wait &
    ours=$!
    vgchange -q --poll y vg || true
    wait $ours || fail "dmsnap lost the race in a bad way"
    eventually 60 gone "race$n"
    all_agree vg
    equal "race $n" "$later" "$(sum /dev/vg/o)"
done
