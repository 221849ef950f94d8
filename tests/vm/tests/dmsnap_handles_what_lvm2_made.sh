# disks: 512M 512M
# timeout: 180

# Linear and striped volumes, tags, and snapshots with lvm2's own chunk size.
vgcreate -q -s 1M vg /dev/ubda /dev/ubdb
lvcreate -q -y -n plain -L 64M --addtag first vg
lvcreate -q -y -n striped -L 64M -i 2 -I 64k vg
lvcreate -q -y -n with-hyphens -L 16M vg
mkfs.ext4 -q /dev/vg/plain
mkdir plain snapshot
mount /dev/vg/plain plain
echo first >plain/file
lvcreate -q -s -n theirs -L 16M vg/plain
echo second >plain/file
all_agree vg

equal "volumes" "plain striped with-hyphens" "$(names volume vg)"
equal "uuid" "$(reported vg/plain uuid)" "$(listed volume vg/plain uuid)"
equal "size" $((64 << 20)) "$(listed volume vg/plain size_bytes)"
equal "tags" first "$(listed volume vg/plain 'tags | join(" ")')"
equal "its origin" plain "$(listed snapshot vg/theirs origin)"
equal "its store" $((16 << 20)) "$(listed snapshot vg/theirs cow_size_bytes)"
equal "its chunks" 4096 "$(listed snapshot vg/theirs chunk_bytes)"
equal "its state" active "$(listed snapshot vg/theirs state)"
for dev in /dev/ubda /dev/ubdb; do
    dmsnap inspect $dev >inspected
    grep "$(pvs --noheadings -o uuid $dev | xargs)" inspected >/dev/null || fail "inspect does not show the uuid of $dev"
done

# A snapshot of dmsnap's beside lvm2's, with other chunks, on the same mounted origin; and one of a striped volume.
agreed vg snapshot create vg/plain --name ours --size 16M --chunk-size 64k
echo third >plain/file
agreed vg snapshot create vg/striped vg/with-hyphens --name ours-striped --name ours-hyphened --size 8M
for name in theirs ours; do
    mount -o ro /dev/vg/$name snapshot
    cat snapshot/file
    umount snapshot
done >seen
equal "what the snapshots hold" "first second" "$(xargs <seen)"

# dmsnap takes down and brings up what lvm2 made, and nothing is lost.
umount plain
dmsnap deactivate vg
equal "devices while inactive" "No devices found" "$(dmsetup ls)"
lvm2_content vg
agreed vg activate vg
mount -o ro /dev/vg/theirs snapshot
equal "theirs after reactivation" first "$(cat snapshot/file)"
fails_with 6 theirs dmsnap snapshot remove vg/theirs
umount snapshot
agreed vg snapshot remove vg/theirs
mount -o ro /dev/vg/ours snapshot
equal "ours without theirs" second "$(cat snapshot/file)"
umount snapshot

agreed vg volume create vg/more --size 32M
agreed vg snapshot remove vg/ours vg/ours-striped vg/ours-hyphened
agreed vg volume remove vg/more vg/with-hyphens
equal "volumes" "plain striped" "$(names volume vg)"
lvcreate -q -s -n last -L 16M vg/plain
agreed vg volume remove vg/plain --with-snapshots
agreed vg volume remove vg/striped
equal "devices left" "No devices found" "$(dmsetup ls)"
vgremove -q vg
