# disks: 768M
# timeout: 300
# While somebody writes at random places, to the volume and to snapshots of it, what was written before a command is in its answer; at rest every
# byte that differs is, and an exact answer is made of the chunks that were written to. Stores of dmsnap's and of lvm2's, small
# chunks and large ones.

dmsnap -q vg create vg /dev/ubda >/dev/null
dmsnap -q volume create vg/db --size 16M >/dev/null
"$TOOLS/writer" write /dev/vg/db --slots 256 --record 65536 --last 256 --direct --sync none >/dev/null

# Writes runs of blocks of 4 KiB at random places, and says which chunks of 64 KiB they lie in.
scatter() { # DEV RUNS
    local i at
    for ((i = 0; i < $2; i++)); do
        at=$((RANDOM % 4076))
        dd if=/dev/urandom "of=$1" bs=4k seek=$at count=20 oflag=direct conv=notrunc status=none
        seq $((at / 16)) $(((at + 19) / 16))
    done
}

# The numbers of the chunks of 64 KiB that are in the ranges of an answer.
chunks_of() { # ANSWER
    jq -r '.ranges[] | range((.offset_bytes / 65536 | floor); (.offset_bytes + .length_bytes) / 65536)' "$1" | sort -u
}

# The numbers of the blocks of 4 KiB that are in an answer, and of those that differ between two devices, past the page cache.
blocks_of() { # ANSWER
    jq -r '.ranges[] | range(.offset_bytes / 4096; (.offset_bytes + .length_bytes) / 4096)' "$1" | sort
}

blocks_that_differ() { # DEV DEV
    dd "if=$1" of=/tmp/one iflag=direct bs=1M status=none
    dd "if=$2" of=/tmp/other iflag=direct bs=1M status=none
    { cmp -l /tmp/one /tmp/other || [ $? = 1 ]; } | awk '{ print int(($1 - 1) / 4096) }' | uniq | sort
}

# All that differs is in the answer.
covered() { # ANSWER DEV DEV
    blocks_of "$1" >/tmp/said
    blocks_that_differ "$2" "$3" >/tmp/differ
    [ -s /tmp/differ ] || fail "$2 and $3 do not differ"
    [ -z "$(comm -13 /tmp/said /tmp/differ)" ] || fail "$1 lacks $(comm -13 /tmp/said /tmp/differ | head -n 5)"
}

dmsnap -q snapshot create vg/db --name old --chunk-size 64k --read-only >/dev/null
scatter /dev/vg/db 10 | sort -u >/tmp/written
dmsnap -o json snapshot diff vg/old >/tmp/answer
equal "the answer" 'true 65536' "$(jq -r '"\(.exact) \(.chunk_bytes)"' /tmp/answer)"
equal "the chunks" "$(</tmp/written)" "$(chunks_of /tmp/answer)"
covered /tmp/answer /dev/vg/db /dev/vg/old

# Exact between two, until something new is written.
dmsnap -q snapshot create vg/db --name new --chunk-size 64k --read-only >/dev/null
dmsnap -o json snapshot diff vg/new --since vg/old >/tmp/between
equal "the difference of the two" "true $(jq -c .ranges /tmp/answer)" "$(jq -rc '"\(.exact) \(.ranges)"' /tmp/between)"
equal "the table" "$(jq '.ranges | length' /tmp/between)" "$(dmsnap -q snapshot diff vg/new --since vg/old | tail -n +2 | wc -l)"

# In use.
lvcreate -qy -s -c 4k -L16M -n small vg/db >/dev/null
dmsnap -q snapshot create vg/db --name wide --chunk-size 512k >/dev/null
fio --name=load --filename=/dev/vg/db --rw=randwrite --bs=4k --size=16M --direct=1 --ioengine=psync --rate_iops=30 --time_based \
    --runtime=600 >/tmp/fio 2>&1 &
load=$!
for round in {1..3}; do
    scatter /dev/vg/db 1 | sort -u >/tmp/written
    dd if=/dev/urandom of=/dev/vg/small bs=4k seek=$((round * 1000)) count=1 oflag=direct status=none
    for name in old new small wide; do
        dmsnap -o json snapshot diff vg/$name >/tmp/$name
        [ -z "$(chunks_of /tmp/$name | comm -13 - /tmp/written)" ] || fail "round $round: $name lacks what was written"
    done
    dmsnap -o json snapshot diff vg/small --since vg/new >/dev/null
done
kill -INT $load
wait $load || [ $? = 128 ] || { cat /tmp/fio; fail "fio failed"; }

for name in old new small wide; do
    dmsnap -o json snapshot diff vg/$name >/tmp/$name
    covered /tmp/$name /dev/vg/db /dev/vg/$name
done
for name in new small wide; do
    dmsnap -o json snapshot diff vg/$name --since vg/old >/tmp/$name.old
    covered /tmp/$name.old /dev/vg/$name /dev/vg/old
done
for name in new small; do
    dmsnap -o json snapshot diff vg/$name --since vg/old --content >/tmp/content
    covered /tmp/content /dev/vg/$name /dev/vg/old
    grain=$(jq '.chunk_bytes / 4096' /tmp/content)
    equal "what differs from $name" "$(awk "{ print int(\$1 / $grain) }" /tmp/differ | sort -u)" \
        "$(awk "{ print int(\$1 / $grain) }" /tmp/said | sort -u)"
done
equal "who is exact" 'true true false false' "$(jq -rn '[inputs.exact] | join(" ")' /tmp/old /tmp/new /tmp/small /tmp/wide)"
jq -e '.notes | any(contains("vg/small is writable"))' /tmp/small >/dev/null || fail "it is not said why"

fails_with 2 "different volume groups" dmsnap snapshot diff vg/new --since other/old
fails_with 2 "is no snapshot" dmsnap snapshot diff vg/db
fails_with 2 "--since" dmsnap snapshot diff vg/new --content

# The same when nothing is active.
dmsnap -q deactivate vg
for name in old new small wide; do
    dmsnap -o json snapshot diff vg/$name | diff - /tmp/$name || fail "another answer when $name is not active"
done
