# disks: 512M
# timeout: 180

# A clone shows its volume as it was when the command ran, though the file system on that is mounted and written to; it is mounted beside it.
throttle=/sys/module/dm_clone/parameters/clone_hydration_throttle
echo 1 >$throttle
dmsnap vg create vg /dev/ubda
dmsnap volume create vg/db --size 96M
mkfs.ext4 -q /dev/vg/db
mkdir db twin
mount /dev/vg/db db
head -c 24M /dev/urandom >db/file
known=$(md5sum <db/file)
dmsnap volume clone vg/db --to vg/twin
echo changed >db/file
sync -f db
equal "its state" filling "$(listed volume vg/twin state)"
equal "what fills it" twin_source "$(listed volume vg/twin filled_from)"
mount /dev/vg/twin twin
equal "the file" "$known" "$(md5sum <twin/file)"
head -c 8M /dev/urandom >twin/other
other=$(md5sum <twin/other)
all_agree vg
fails_with 6 "vg/twin is being filled from it" dmsnap snapshot remove vg/twin_source
fails_with 6 "mounted" dmsnap volume remove vg/twin

# It is made plain under the mounted file system.
echo 100 >$throttle
is_full() { dmsnap -q repair vg && [ "$(listed volume vg/twin state)" = active ]; }
eventually 60 is_full
equal "snapshots" "" "$(names snapshot vg)"
equal "volumes" "db twin" "$(names volume vg)"
[[ $(dmsetup table vg-db) = *linear* && $(dmsetup table vg-twin) = *linear* ]] || fail "they are not plain"
umount twin
fsck.ext4 -n -f /dev/vg/twin
mount /dev/vg/twin twin
equal "the file afterwards" "$known $other" "$(md5sum <twin/file) $(md5sum <twin/other)"
umount twin db
all_agree vg
lvremove -q -y vg/twin
