# disks: 512M
# timeout: 240

# The kernel takes its time, so that there is something to be seen meanwhile.
throttle=/sys/module/dm_clone/parameters/clone_hydration_throttle
slowly() { echo 1 >$throttle; }
fill() { # DEVICE AT(MiB)
    dd if=/dev/urandom of="$1" bs=1M count=1 seek="$2" oflag=direct conv=notrunc status=none
}
sum() { dd if="$1" bs=1M iflag=direct status=none | md5sum; }
is_full() { dmsnap -q repair vg && [ "$(listed volume vg/copy state)" = active ]; }

slowly
dmsnap vg create vg /dev/ubda
dmsnap volume create vg/db --size 96M
dd if=/dev/urandom of=/dev/vg/db bs=1M count=96 oflag=direct status=none
dmsnap snapshot create vg/db --name a
known=$(sum /dev/vg/db)
fill /dev/vg/db 3
dmsnap -o json snapshot restore vg/a --to vg/copy | jq -c '.volumes[0] | {state, filled_from, progress_percent}'
equal "the content at once" "$known" "$(sum /dev/vg/copy)"
equal "its state" filling "$(listed volume vg/copy state)"
equal "who reads the snapshot" vg/copy "$(listed snapshot vg/a 'in_use_by[0]')"
dmsnap -o wide volume list vg
all_agree vg

echo "what both tools refuse while it is filled"
fails_with 6 "vg/copy is being filled from it" dmsnap snapshot remove vg/a
fails_with 6 "being filled from vg/a" dmsnap volume extend vg/copy --size +4M
lvm2_refuses() { # WORDS COMMAND...
    local words=$1
    shift
    fails_with 5 "$words" "$@"
}
lvm2_refuses "locked" lvremove -y vg/copy
lvm2_refuses "locked" lvextend -L +4M vg/copy
lvm2_refuses "locked" lvrename vg copy other
lvm2_refuses "locked" lvcreate -y -s -L 4M -n s vg/copy
lvm2_refuses "locked" lvremove -y vg/copy_fill
lvm2_refuses "used by another device" lvremove -y vg/a
vgchange -q -ay vg
[[ $(dmsetup table vg-copy) = *clone* ]] || fail "lvm2 made a plain device of it"

echo "across a restart of the devices, with writes to all three"
fill /dev/vg/copy 5
fill /dev/vg/a 7
fill /dev/vg/db 9
changed=$(sum /dev/vg/copy)
dmsnap deactivate vg
equal "devices" "No devices found" "$(dmsetup ls)"
vgchange -q -aay vg
[ ! -e /dev/vg/copy ] || fail "lvm2 activated it"
dmsnap activate vg
equal "the content afterwards" "$changed" "$(sum /dev/vg/copy)"

echo "full"
echo 100 >$throttle
eventually 60 is_full
equal "the content" "$changed" "$(sum /dev/vg/copy)"
[[ $(dmsetup table vg-copy) = *linear* ]] || fail "it is not plain"
equal "volumes" "copy db" "$(names volume vg)"
all_agree vg
lvextend -q -L +4M vg/copy
lvremove -q -y vg/a
all_agree vg

echo "larger, and waited for"
dmsnap snapshot create vg/db --name b
dmsnap snapshot restore vg/b --to vg/large --size 100M --wait
equal "its state" active "$(listed volume vg/large state)"
cmp -n $((96 << 20)) /dev/vg/b /dev/vg/large
all_agree vg

echo "lvm2's --refresh makes a plain device of it all the same: dmsnap sees it"
slowly
dmsnap snapshot restore vg/b --to vg/bad
lvchange --refresh vg/bad
fails_with 7 "somebody has given it another table" dmsnap repair vg
dmsnap volume remove vg/bad
all_agree vg
