# Test 28 of those that an independent implementation must pass.
# disks: 256M

attributes() { dmsetup info -c --noheadings -o attr "$1"; }
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
fill() { dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count=16 status=none; }

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 16M
fill
cut=$(sum /dev/vg/o)
dmsnap snapshot create vg/o --name ours --read-only
lvcreate -q -y -s -pr -n theirs -L 20M vg/o
for time in made activated; do
    for name in ours theirs; do
        equal "$time: $name" L--r "$(attributes vg-$name)"
        equal "$time: the store of $name" L--w "$(attributes vg-$name-cow)"
        equal "$time: listed" true "$(listed snapshot vg/$name read_only)"
        ! dd if=/dev/zero of=/dev/vg/$name bs=4k count=1 oflag=direct status=none 2>/dev/null || fail "$name was written to"
    done
    fill
    for name in ours theirs; do equal "$time: content of $name" "$cut" "$(sum /dev/vg/$name)"; done
    all_agree vg
    dmsnap deactivate vg
    dmsnap activate vg
done

# A volume that may not be written to is not rolled back; one that may is, to a snapshot that may not.
dmsnap deactivate vg
lvchange -q -pr vg/o
dmsnap activate vg
equal "the volume" "L--r L--r" "$(attributes vg-o) $(attributes vg-o-real)"
equal "a store" L--w "$(attributes vg-ours-cow)"
fails_with 7 "read-only" dmsnap snapshot rollback vg/ours --merge
dmsnap deactivate vg
lvchange -q -prw vg/o
dmsnap activate vg
agreed vg snapshot rollback vg/theirs --merge --wait
equal "rolled back" "$cut" "$(sum /dev/vg/o)"
equal "the other one" "$cut" "$(sum /dev/vg/ours)"
