# Test 22 of those that an independent implementation must pass, its half of restarts: what the volume shows is right at every boot.
# disks: 256M
# kills: 3
# timeout: 240

sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
throttle() { echo "$1" >/sys/module/dm_snapshot/parameters/snapshot_copy_throttle; }
merging() { [ "$(dmsnap -o json snapshot list vg | jq '[.snapshots[] | select(.merging)] | length')" = 1 ]; }
gone() { ! dmsnap snapshot list vg/s >/dev/null 2>&1; }

if [ ! -e "$RESULTS/ready" ]; then
    dd if=/dev/zero of=/dev/ubda bs=1M count=2 oflag=direct status=none
    dmsnap -q vg create vg /dev/ubda
    dmsnap -q volume create vg/o --size 32M
    dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count=32 status=none
    dmsnap -q snapshot create vg/o --name s --chunk-size 4k
    sum /dev/vg/o >"$RESULTS/cut"
    dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count=24 status=none
    sum /dev/vg/o >"$RESULTS/later"
    sync
    touch "$RESULTS/ready"
fi
dmsnap -q activate vg
gone || merging || [ ! -e "$RESULTS/back" ] || fail "the rollback was acknowledged and did not stay"
# The kernel copies for the other snapshot before it lets the volume go on: unthrottled.
if ! gone && ! merging && [ ! -e "$RESULTS/back" ]; then
    dmsnap -q snapshot rollback vg/s --merge --undo before
fi
touch "$RESULTS/back"
throttle 1
while true; do
    dmsnap snapshot list vg
    equal "life $LIFE: the volume" "$(<"$RESULTS/cut")" "$(sum /dev/vg/o)"
    equal "life $LIFE: the state before" "$(<"$RESULTS/later")" "$(sum /dev/vg/before)"
    [ "$LIFE" -lt "$LIVES" ] || break
done
throttle 100
eventually 60 sh -c "'$DMSNAP' repair vg && ! '$DMSNAP' snapshot list vg/s 2>/dev/null"
equal "the volume at the end" "$(<"$RESULTS/cut")" "$(sum /dev/vg/o)"
equal "the state before, at the end" "$(<"$RESULTS/later")" "$(sum /dev/vg/before)"
all_agree vg
