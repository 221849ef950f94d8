# Test 22: what is open does not change underneath, be it mounted, held by a program, or the base of another device.
# disks: 256M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
mkfs.ext4 -q /dev/vg/o
dmsnap snapshot create vg/o --name s
mkdir -p /run/mnt
refused() { # WORDS
    local before
    before=$(kernel_state | grep -v ' suspended ' | md5sum)
    fails_with 6 "$1" dmsnap snapshot rollback vg/s --merge
    equal "the kernel" "$before" "$(kernel_state | md5sum)"
    equal "merging" false "$(listed snapshot vg/s merging)"
}
for device in o s; do
    mount /dev/vg/$device /run/mnt
    refused "vg-$device is mounted on /run/mnt"
    fails_with 6 "mounted on" dmsnap snapshot rollback vg/s --merge --force
    # Where this process does not see the mount.
    fails_with 6 "is open" unshare -m sh -c "umount /run/mnt && '$DMSNAP' snapshot rollback vg/s --merge --force"
    umount /run/mnt
    exec 9</dev/vg/$device
    refused "vg-$device is held open by"
    [[ $said == *"(process "* ]] || fail "no process is named"
    exec 9<&-
    echo "0 2048 linear /dev/vg/$device 0" | dmsetup create above
    refused "/dev/mapper/above"
    fails_with 6 "/dev/mapper/above" dmsnap snapshot rollback vg/s --merge --force
    dmsetup remove above
done

# A program that says that it copes.
echo changed | dd of=/dev/vg/o bs=512 seek=40000 conv=notrunc status=none
exec 9</dev/vg/o
dmsnap snapshot rollback vg/s --merge --force --wait
exec 9<&-
equal "content" "" "$(dd if=/dev/vg/o bs=512 skip=40000 count=1 iflag=direct status=none | tr -d '\0')"
e2fsck -fn /dev/vg/o >/dev/null
all_agree vg

# lvm2 delays a merge of what is open: it is listed, waits for nobody, and begins at the next activation.
lvcreate -q -y -s -n theirs -L 16M vg/o
mount /dev/vg/o /run/mnt
echo later >/run/mnt/file
lvconvert -q --merge vg/theirs
equal "state of a delayed one" merging "$(listed snapshot vg/theirs state)"
fails_with 6 "being merged" dmsnap snapshot rollback vg/theirs --merge
dmsnap activate vg
equal "under the mount" later "$(cat /run/mnt/file)"
umount /run/mnt
dmsnap deactivate vg
dmsnap activate vg
mount -o ro /dev/vg/o /run/mnt
[ ! -e /run/mnt/file ] || fail "the delayed merge did not begin"
umount /run/mnt
eventually 30 sh -c "'$DMSNAP' repair vg && ! '$DMSNAP' snapshot list vg/theirs 2>/dev/null"
all_agree vg
