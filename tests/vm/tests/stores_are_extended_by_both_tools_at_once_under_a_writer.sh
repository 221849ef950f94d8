# Test 25 of those that an independent implementation must pass, its half of races: dmeventd calls `lvextend --use-policies`.
# disks: 512M 512M
# timeout: 180

sed -i 's/^    monitoring = 0/&\n    snapshot_autoextend_threshold = 50\n    snapshot_autoextend_percent = 20/' /etc/lvm/lvm.conf
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
dmsnap vg create vg /dev/ubda /dev/ubdb --extent-size 1M
dmsnap volume create vg/o --size 128M
dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count=128 status=none
dmsnap snapshot create vg/o --name s --size 24M
lvcreate -q -y -s -n theirs -L 24M vg/o
cut=$(sum /dev/vg/o)

# Not faster than both can see to: the kernel drops a snapshot whose store is full, whoever was about to extend it.
(
    for ((mib = 0; mib < 96; mib += 4)); do
        dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=64k count=64 seek=$((mib * 16)) conv=notrunc status=none
        sleep 0.3
    done
) &
writer=$!
while kill -0 $writer 2>/dev/null; do
    for name in s theirs; do
        lvextend -q --use-policies vg/$name >/run/lvextend.$name 2>&1 &
        theirs=$!
        dmsnap -q snapshot extend vg/$name --size +4M >/dev/null || fail "dmsnap could not extend $name"
        wait $theirs || grep -q 'matches existing size\|maximum' /run/lvextend.$name || fail "lvextend: $(</run/lvextend.$name)"
    done
done
wait $writer
for name in s theirs; do
    equal "state of $name" active "$(listed snapshot vg/$name state)"
    equal "content of $name" "$cut" "$(sum /dev/vg/$name)"
    equal "the store of $name" "$(listed snapshot vg/$name cow_size_bytes)" "$(reported vg/$name lv_size)"
done
all_agree vg
