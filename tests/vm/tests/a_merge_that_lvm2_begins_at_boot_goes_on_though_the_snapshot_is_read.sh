# disks: 512M
# timeout: 120

# In a group of the smallest extents, with hyphens in the names: maps and stores are as small as they get.
throttle=/sys/module/dm_snapshot/parameters/snapshot_copy_throttle
echo 1 >/sys/module/dm_clone/parameters/clone_hydration_throttle
sum() { dd if="$1" bs=1M iflag=direct status=none | md5sum; }
is_merged() { dmsnap -q repair vg-0 && [ "$(names snapshot vg-0)" = "" ]; }

dmsnap vg create vg-0 /dev/ubda --extent-size 8k
dmsnap volume create vg-0/d-b --size 98312k
dd if=/dev/urandom of=/dev/vg-0/d-b bs=1M oflag=direct status=none count=96
dmsnap snapshot create vg-0/d-b --name a-1
known=$(sum /dev/vg-0/a-1)
dd if=/dev/urandom of=/dev/vg-0/d-b bs=1M count=64 seek=5 oflag=direct conv=notrunc status=none
dmsnap snapshot restore vg-0/a-1 --to vg-0/co-py
dmsnap deactivate vg-0

echo "while it is down lvm2 does not know that the snapshot is read"
echo 1 >$throttle
lvconvert --merge vg-0/a-1
vgchange -q -ay --poll n vg-0
fails_with 7 "vg-0/co-py is filled from vg-0/a-1, which LVM2 is merging" dmsnap activate vg-0
[[ $(dmsetup table vg--0-d--b) = *snapshot-merge* ]] || fail "the merge was stopped"
dmsnap volume create vg-0/next --size 4M
[[ $(dmsetup table vg--0-d--b) = *snapshot-merge* ]] || fail "the merge was stopped"

echo "without what was read it goes on"
dmsnap volume remove vg-0/co-py
echo 100 >$throttle
eventually 60 is_merged
equal "the content" "$known" "$(sum /dev/vg-0/d-b)"
all_agree vg-0

echo "a fill and a clone to the end"
dmsnap snapshot create vg-0/d-b --name a-2 --chunk-size 512k
echo 100 >/sys/module/dm_clone/parameters/clone_hydration_throttle
dmsnap snapshot restore vg-0/a-2 --to vg-0/co-py --size 100M --wait
cmp -n $((98312 << 10)) /dev/vg-0/a-2 /dev/vg-0/co-py
dmsnap volume clone vg-0/d-b --to vg-0/twin --wait
cmp /dev/vg-0/d-b /dev/vg-0/twin
all_agree vg-0
