# Test 18 of those that an independent implementation must pass: tables that disagree with the metadata.
# disks: 256M

fill() { # BYTE DEVICE SIZE
    head -c "$3" /dev/zero | tr '\0' "$1" | dd of="$2" oflag=direct bs=64k iflag=fullblock status=none
}

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
dmsnap volume create vg/plain --size 8M
fill p /dev/vg/plain 64K
fill o /dev/vg/o 64K
first() { dd if="/dev/vg/$1" iflag=direct bs=4k count=1 status=none | cut -zc1 | tr -d '\0'; }
replace() { # DEVICE TABLE
    dmsetup load "$1" --table "$2"
    dmsetup resume "$1"
}

# Where nothing depends on what was written meanwhile, the right table comes back.
dmsetup table vg-plain >/run/plain
replace vg-plain "0 16384 linear /dev/ubda 2048"
fails_with 1 "vg-plain" dmsnap check vg
agreed vg repair vg
equal "the table after a repair" "$(</run/plain)" "$(dmsetup table vg-plain)"
equal "content after a repair" p "$(first plain)"
dmsetup suspend vg-plain
fails_with 1 "vg-plain" dmsnap check vg
agreed vg repair vg
dmsetup remove vg-plain
agreed vg activate vg
equal "content after a removal by hand" p "$(first plain)"

# A snapshot that an origin does not feed is silently wrong.
untrusted() { # HOW
    echo "--- $1"
    lost="vg-o is in use without its snapshot vg-s: what was written since is lost to it; remove that snapshot"
    fails_with 1 "$lost" dmsnap check vg
    fails_with 7 "$lost" dmsnap repair vg
    fails_with 7 "$lost" dmsnap snapshot create vg/o --name more
    fails_with 7 "$lost" dmsnap activate vg/o
    fails_with 7 "$lost" dmsnap deactivate vg/o
    equal "what is listed" "s" "$(names snapshot vg)"
    # The rest of the group can be worked on.
    dmsnap volume extend vg/plain --size +4M
    agreed vg snapshot remove vg/s
    equal "content of the volume" o "$(first o)"
    dmsnap snapshot create vg/o --name s
    all_agree vg
}
dmsnap snapshot create vg/o --name s
replace vg-o "0 65536 linear /dev/mapper/vg-o-real 0"
untrusted "the origin is linear"
replace vg-o "0 65536 linear /dev/ubda $(dmsetup table vg-o-real | cut -d' ' -f5)" || echo "the kernel refuses this one"
[[ $(dmsetup table vg-o) = *snapshot-origin* ]] || untrusted "the origin is linear on the disk"
replace vg-s "0 65536 zero"
untrusted "the snapshot is none"
dmsetup remove vg-s
untrusted "the snapshot was removed by hand"

# After it is all taken down the store is what it was when it was last fed, and nothing tells: only while it runs it can be seen. So what
# cannot be trusted is not taken down before it is removed.
dmsnap deactivate vg
agreed vg activate vg
