# disks: 1G
# timeout: 240

# The times are printed; that the first does not grow with what changed is seen by comparing.
region=$((64 << 10))
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }
used() { echo $(($(listed snapshot "vg/$1" used_bytes) - $(listed snapshot "vg/$1" metadata_bytes))); }
change() { # REGIONS, in each of twenty places; only a part of the last one
    local place
    for place in {0..19}; do
        dd if=/dev/urandom of=/dev/vg/o bs=4k count=$(($1 * 16 - 3)) seek=$((place * 102 * 16)) oflag=direct conv=notrunc status=none
    done
}

dmsnap -q vg create vg /dev/ubda
dmsnap -q volume create vg/o --size 128M
dd if=/dev/urandom of=/dev/vg/o bs=1M count=128 oflag=direct status=none
for each in 1 10 102; do # of 2048 regions 1, 10, and almost 100 per cent
    dmsnap -q snapshot create vg/o --name s
    cut=$(sum /dev/vg/o)
    change $each
    changed=$(used s)
    equal "what changed" $((20 * each * region)) "$changed"
    dmsnap -o json snapshot rollback vg/s --undo before >/run/said
    equal "the content at once" "$cut" "$(sum /dev/vg/o)"
    began=$(date +%s%N)
    until dmsnap -q repair vg && [ "$(listed volume vg/o state)" = active ]; do sleep 0.05; done
    echo "$((changed >> 10)) KiB changed: readable after $(jq .elapsed_ms /run/said) ms, frozen for $(jq .frozen_ms /run/said) ms, full $((($(date +%s%N) - began) / 1000000)) ms later"
    equal "the content" "$cut" "$(sum /dev/vg/o)"
    # Whatever was copied to the volume the state before has a copy of.
    equal "what was copied" "$changed" "$(used before)"
    equal "what the snapshot holds" "$changed" "$(used s)"
    dmsnap -q snapshot remove vg/s vg/before
done
all_agree vg
