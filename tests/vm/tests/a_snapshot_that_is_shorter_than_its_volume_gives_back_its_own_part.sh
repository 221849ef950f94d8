# Test 24 of those that an independent implementation must pass, for volumes that either tool made larger and either tool rolls back.
# disks: 256M
# timeout: 180

fill() { dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count="$1" seek="${2:-0}" status=none; }
sum() { dd if=/dev/vg/o iflag=direct bs=1M count="$1" skip="${2:-0}" status=none | md5sum; }
gone() { ! dmsnap snapshot list vg/s >/dev/null 2>&1; }

dmsnap vg create vg /dev/ubda
for tools in dmsnap:dmsnap dmsnap:lvm2 lvm2:dmsnap; do
    dmsnap volume create vg/o --size 16M
    fill 16
    dmsnap snapshot create vg/o --name s
    cut=$(sum 16)
    if [ ${tools%:*} = dmsnap ]; then
        dmsnap volume extend vg/o --size 32M
    else
        dmsnap deactivate vg
        lvextend -q -L 32M vg/o
        dmsnap activate vg
    fi
    fill 24 4
    tail=$(sum 16 16)
    equal "the snapshot's size" $((16 << 20)) "$(listed snapshot vg/s size_bytes)"
    if [ ${tools#*:} = dmsnap ]; then
        dmsnap snapshot rollback vg/s --merge
    else
        lvconvert -q -b -i +3600 --merge vg/s
    fi
    equal "$tools: the part of the snapshot" "$cut" "$(sum 16)"
    equal "$tools: what is behind it" "$tail" "$(sum 16 16)"
    eventually 30 sh -c "'$DMSNAP' repair vg && ! '$DMSNAP' snapshot list vg/s 2>/dev/null"
    all_agree vg
    equal "$tools: at the end" "$cut $tail" "$(sum 16) $(sum 16 16)"
    agreed vg volume remove vg/o
done
