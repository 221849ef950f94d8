# What the volume shows is right at every boot.
# disks: 256M
# kills: 3
# timeout: 240

sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
throttle() { echo "$1" >/sys/module/dm_clone/parameters/clone_hydration_throttle; }
state() { listed volume vg/o state; }
is_full() { "$DMSNAP" -q repair vg && [ "$(state)" = active ]; }

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
shown=$(sum /dev/vg/o)
if [ -e "$RESULTS/back" ]; then
    equal "life $LIFE: an acknowledged rollback" "$(<"$RESULTS/cut")" "$shown"
elif [ "$shown" != "$(<"$RESULTS/cut")" ]; then
    equal "life $LIFE: the volume before the rollback" "$(<"$RESULTS/later")" "$shown"
    throttle 1
    dmsnap -q snapshot rollback vg/s --undo before
    touch "$RESULTS/back"
fi
throttle 1
while true; do
    dmsnap volume list vg
    equal "life $LIFE: the volume" "$(<"$RESULTS/cut")" "$(sum /dev/vg/o)"
    equal "life $LIFE: the snapshot" "$(<"$RESULTS/cut")" "$(sum /dev/vg/s)"
    equal "life $LIFE: the state before" "$(<"$RESULTS/later")" "$(sum /dev/vg/before)"
    [ "$LIFE" -lt "$LIVES" ] || break
done
throttle 100
eventually 60 is_full
equal "the volume at the end" "$(<"$RESULTS/cut")" "$(sum /dev/vg/o)"
equal "the snapshot at the end" "$(<"$RESULTS/cut")" "$(sum /dev/vg/s)"
equal "the state before, at the end" "$(<"$RESULTS/later")" "$(sum /dev/vg/before)"
all_agree vg
