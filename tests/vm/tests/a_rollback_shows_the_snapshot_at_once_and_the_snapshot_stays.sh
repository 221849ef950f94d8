# disks: 512M
# timeout: 240

throttle() { echo "$1" >/sys/module/dm_clone/parameters/clone_hydration_throttle; }
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
change() { # DEVICE: 24 MiB of it, scattered
    for place in 0 3 7; do dd if=/dev/urandom of="$1" oflag=direct bs=1M count=8 seek=$((place * 8)) conv=notrunc status=none; done
}
is_full() { dmsnap -q repair vg && [ "$(listed volume vg/o state)" = active ]; }
shows() { # VOLUME SUM
    equal "what $1 holds" "$2" "$(sum "/dev/vg/$1")"
}

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 64M
dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count=64 status=none
dmsnap snapshot create vg/o --name s
cut=$(sum /dev/vg/o)
change /dev/vg/o
dmsnap snapshot create vg/o --name sibling
change /dev/vg/sibling
other=$(sum /dev/vg/sibling)
later=$(sum /dev/vg/o)

echo "at once"
throttle 1
dmsnap -o json snapshot rollback vg/s --undo before | tee /run/said
equal "what is said" "rolling_back s true" "$(jq -r '.volumes[0] | "\(.state) \(.filled_from)"' /run/said) $(jq '.frozen_ms != null' /run/said)"
shows o "$cut"
shows s "$cut"
shows sibling "$other"
shows before "$later"
equal "who reads the snapshot" vg/o "$(listed snapshot vg/s 'in_use_by[0]')"
all_agree vg

echo "what both tools refuse meanwhile"
busy="vg/o is being rolled back to vg/s"
fails_with 6 "$busy" dmsnap snapshot remove vg/s
fails_with 6 "$busy" dmsnap snapshot rollback vg/before
fails_with 6 "$busy" dmsnap snapshot create vg/o --name t
fails_with 6 "$busy" dmsnap volume extend vg/o --size +4M
fails_with 6 "$busy" dmsnap snapshot diff vg/s
mkdir mounted
fails_with 32 "" mount /dev/vg/s mounted
fails_with 5 "used by another device" lvremove -y vg/s
fails_with 5 "locked" lvextend -L +4M vg/o
fails_with 5 "locked" lvcreate -y -s -L 4M -n t vg/o
fails_with 5 "locked" lvrename vg o other
fails_with 5 "locked" lvremove -y vg/o_fill
fails_with 5 "read-only" lvconvert -y --merge vg/sibling
fails_with 5 "read-only" lvconvert -y --merge vg/s
fails_with 5 "used by another device" vgchange -an vg
vgchange -q -ay vg
all_agree vg

echo "across a restart of the devices, with writes"
dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=64k count=8 seek=500 conv=notrunc status=none
dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=64k count=8 seek=100 conv=notrunc status=none
written=$(sum /dev/vg/o)
dmsnap deactivate vg
equal "devices" "No devices found" "$(dmsetup ls)"
vgchange -q -aay vg
vgchange -q -ay vg
[ ! -e /dev/vg/o ] || fail "lvm2 activated it"
lvchange -q -ay -K vg/o
fails_with 1 "" dd if=/dev/zero of=/dev/vg/o bs=4k count=1 status=none
fails_with 7 "somebody has given it another table" dmsnap activate vg
dmsnap deactivate vg
dmsnap activate vg
shows o "$written"
shows s "$cut"
all_agree vg

echo "full"
throttle 100
eventually 60 is_full
shows o "$written"
shows s "$cut"
shows sibling "$other"
shows before "$later"
[[ $(dmsetup table vg-o) = *snapshot-origin* ]] || fail "it is not plain"
equal "volumes" "o" "$(names volume vg)"
all_agree vg

echo "again, back to the state before, and waited for"
change /dev/vg/o
agreed vg snapshot rollback vg/s --wait
shows o "$cut"
agreed vg snapshot rollback vg/before --wait
shows o "$later"
agreed vg snapshot rollback vg/s --wait
shows o "$cut"
shows before "$later"
shows sibling "$other"
equal "its state" active "$(listed volume vg/o state)"
lvremove -q -y vg/before
lvchange -q --refresh vg/o
all_agree vg
shows o "$cut"
