# Test 17 of those that an independent implementation must pass: whoever resumes a device makes such a table live.
# disks: 256M

fill() { # BYTE DEVICE SIZE
    head -c "$3" /dev/zero | tr '\0' "$1" | dd of="$2" oflag=direct bs=64k iflag=fullblock status=none
}

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
dmsnap snapshot create vg/o --name s

# On every device of the stack a table that would do harm.
plant() {
    local device
    for device in vg-o-real vg-s-cow vg-s; do
        dmsetup load "$device" --table "0 $(blockdev --getsz "/dev/mapper/$device") error"
    done
    dmsetup load vg-o --table "0 $(blockdev --getsz /dev/mapper/vg-o) linear /dev/mapper/vg-o-real 0"
    equal "devices with a table in wait" 4 "$(dmsetup info -c --noheadings -o attr | grep -c '^LI')"
}

# What the origin has is not what the snapshot had: it is fed.
fed() { # BYTE
    dd if=/dev/mapper/vg-s iflag=direct bs=4k count=1 status=none >/run/held
    fill "$1" /dev/mapper/vg-o 4K
    cmp /run/held <(dd if=/dev/mapper/vg-s iflag=direct bs=4k count=1 status=none) || fail "the snapshot is not fed"
}

plant
fails_with 1 "clear the inactive table of vg-o" dmsnap check vg
agreed vg snapshot create vg/o --name t
fed a
plant
agreed vg repair vg
fed b
plant
agreed vg volume extend vg/o --size +4M
fed c
plant
agreed vg snapshot remove vg/t
fed d
plant
agreed vg deactivate vg
agreed vg activate vg
fed e
plant
# Another volume's work clears them too, or leaves them; nothing makes them live.
dmsnap volume create vg/other --size 4M
fed f
agreed vg repair vg
fed g
