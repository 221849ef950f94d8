# Test 25 of those that an independent implementation must pass, its half of sizes: a store grows while its origin is written to.
# disks: 512M 512M
# timeout: 120

vgcreate -q -s 1M vg /dev/ubda /dev/ubdb
lvcreate -q -y -n data -L 128M vg
mkfs.ext4 -q /dev/vg/data
mkdir data snapshot
mount /dev/vg/data data
echo before >data/file
sync
dmsnap snapshot create vg/data --name ours --size 24M
lvcreate -q -s -n theirs -L 24M vg/data

# Each tool extends what the other made, in turn, while a writer goes on; the last of it would not fit into 24 MiB.
"$TOOLS/writer" write --record 65536 --slots 64 --seconds 600 --rest 100000 data/records >/dev/null &
writer=$!
lvextend -q -L +4M vg/ours
dmsnap snapshot extend vg/theirs --size +4M
dmsnap snapshot extend vg/ours --size 48M
lvextend -q -L 48M vg/theirs
dd if=/dev/urandom of=data/more bs=1M count=24 conv=fsync status=none
kill "$writer"
wait "$writer"
for name in ours theirs; do
    equal "the state of $name" active "$(listed snapshot vg/$name state)"
    equal "the store of $name" $((48 << 20)) "$(listed snapshot vg/$name cow_size_bytes)"
    mount -o ro /dev/vg/$name snapshot
    equal "what $name holds" "before lost+found" "$(cat snapshot/file) $(ls snapshot | grep -v file)"
    umount snapshot
done
all_agree vg

# No larger than can be of use, to either tool, and no smaller.
dmsnap snapshot extend vg/theirs --size +1G
dmsnap snapshot extend vg/ours --size +1G
lvextend -L +1M vg/theirs >said 2>&1 || true
grep -i 'maximum' said >/dev/null || fail "lvm2 would make it larger: $(<said)"
fails_with 2 "not made smaller" dmsnap snapshot extend vg/ours --size 24M
all_agree vg

# What is lost is lost.
dmsnap snapshot remove vg/ours vg/theirs
dmsnap snapshot create vg/data --name lost --size 2M
dd if=/dev/urandom of=data/more bs=1M count=24 conv=fsync status=none
equal "its state" invalid "$(listed snapshot vg/lost state)"
fails_with 7 "snapshot remove vg/lost" dmsnap snapshot extend vg/lost --size +32M
umount data
dmsnap deactivate vg
fails_with 7 "snapshot remove vg/lost" dmsnap snapshot extend vg/lost --size +32M
