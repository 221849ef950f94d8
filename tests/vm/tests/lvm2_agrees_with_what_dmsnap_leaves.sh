# disks: 512M 512M
# timeout: 180

# Each operation of dmsnap leaves metadata and devices that lvm2 has nothing to say about.
dmsnap pv create /dev/ubda /dev/ubdb
equal "PVs for lvm2" "/dev/ubda /dev/ubdb" "$(pvs --noheadings -o name | xargs)"
agreed vg vg create vg /dev/ubda /dev/ubdb
agreed vg volume create vg/plain --size 64M --tag first
agreed vg volume create vg/striped --size 64M --stripes 2 --stripe-size 64k
equal "size of plain" $((64 << 20)) "$(reported vg/plain size)"
equal "its tag" first "$(reported vg/plain tags)"
equal "stripes of striped" "2 65536" "$(reported vg/striped stripes) $(reported vg/striped stripe_size)"

mkfs.ext4 -q /dev/vg/plain
mkdir plain snapshot
mount /dev/vg/plain plain
echo first >plain/file
agreed vg snapshot create vg/plain --name one
echo second >plain/file
agreed vg snapshot create vg/plain --name two --size 24M --chunk-size 64k --tag mine
agreed vg snapshot create vg/plain --name three --size 24M --read-only
echo third >plain/file
agreed vg snapshot create vg/plain vg/striped --name pair1 --name pair2 --size 12M
equal "origin of two, for lvm2" plain "$(reported vg/two origin)"
equal "its store" $((24 << 20)) "$(reported vg/two size)"
equal "its chunks" 65536 "$(reported vg/two chunksize)"
equal "its tag" mine "$(reported vg/two tags)"
equal "three is read-only" r "$(reported vg/three attr | cut -c 2)"
equal "pair2's origin" striped "$(reported vg/pair2 origin)"

for name in one two three pair1; do
    mount -o ro /dev/vg/$name snapshot
    cat snapshot/file
    umount snapshot
done >seen
equal "what the snapshots hold" "first second second third" "$(xargs <seen)"

# lvm2 goes on with what dmsnap made: it extends,
lvextend -q -L +8M vg/two
all_agree vg
equal "size after lvextend" $((32 << 20)) "$(listed snapshot vg/two cow_size_bytes)"
# snapshots,
lvcreate -q -s -n theirs -L 12M vg/plain
echo fourth >plain/file
all_agree vg
# renames,
lvrename -q vg/pair1 vg/renamed
all_agree vg
# takes down and brings up,
umount plain
vgchange -q -an vg
all_agree vg
vgchange -q -ay vg
all_agree vg
# merges,
lvconvert -q -i 1 --merge vg/two
eventually 30 lvm2_knows_not vg/two
mount /dev/vg/plain plain
equal "the origin after lvm2 merged two" second "$(cat plain/file)"
umount plain
all_agree vg
equal "what is left" "one pair2 renamed theirs three" "$(names snapshot vg)"
# and removes.
lvremove -q -y vg/one
all_agree vg
lvremove -q -y vg/renamed vg/three
all_agree vg

# dmsnap removes the rest.
agreed vg snapshot remove vg/theirs vg/pair2
agreed vg volume remove vg/striped
agreed vg volume remove vg/plain
equal "devices left" "No devices found" "$(dmsetup ls)"
equal "extents free again" "$(vgs --noheadings -o vg_extent_count vg | xargs)" "$(vgs --noheadings -o vg_free_count vg | xargs)"
vgremove -q vg
