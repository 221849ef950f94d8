# disks: 256M
# What dmsnap reads from a store that the kernel wrote are the chunks of the origin that were overwritten, and as much is in use
# as the kernel says: in an empty store, in one whose first area is exactly full, in one of two areas, and in an invalid one.

export DM_DISABLE_UDEV=1
vgcreate -qy vg /dev/ubda >/dev/null
lvcreate -qy -Wn -L32M -n db vg
lvcreate -qy -s -c 4k -L16M -n small vg/db
lvcreate -qy -s -c 64k -L16M -n large vg/db
lvcreate -qy -s -c 4k -L4M -n tiny vg/db

# The kernel writes exceptions when it comes to rest.
matches() { # SNAPSHOT CHUNK-SECTORS CHUNK...
    local name=$1 sectors=$2 used total metadata
    shift 2
    dmsetup suspend "vg-$name"
    dmsnap inspect --raw "/dev/mapper/vg-$name-cow" | cut -d ' ' -f 1 | sort -n >/tmp/read
    printf '%s\n' "$@" | sed '/^$/d' | sort -n | diff - /tmp/read || fail "other exceptions in $name"
    dmsnap -o json inspect "/dev/mapper/vg-$name-cow" >/tmp/view
    dmsetup resume "vg-$name"
    read -r used total metadata < <(dmsetup status "vg-$name" | cut -d ' ' -f 4- | tr / ' ')
    equal "what is used of $name" "$((used * 512)) $((total * 512)) $((metadata * 512)) $((sectors * 512))" \
        "$(jq -r '"\(.used_bytes) \(.size_bytes) \(.metadata_bytes) \(.chunk_bytes)"' /tmp/view)"
}

matches small 8 ''

# Single chunks, a run, the last chunk; half a chunk is a whole one.
for chunk in 3 4 5 100 4097 8191; do
    dd if=/dev/urandom of=/dev/vg/db bs=4k seek=$chunk count=1 oflag=direct status=none
done
dd if=/dev/urandom of=/dev/vg/db bs=512 seek=$((7 * 8 + 3)) count=1 oflag=direct status=none
written=(3 4 5 7 100 4097 8191)
matches small 8 "${written[@]}"
matches large 128 0 6 256 511

# 256 exceptions fill an area of 4 KiB; one more is in the next.
dd if=/dev/urandom of=/dev/vg/db bs=4k seek=1000 count=249 oflag=direct status=none
written+=($(seq 1000 1248))
matches small 8 "${written[@]}"
dd if=/dev/urandom of=/dev/vg/db bs=4k seek=2000 count=1 oflag=direct status=none
matches small 8 "${written[@]}" 2000

# Writing to a snapshot makes an exception too, and only there.
dd if=/dev/urandom of=/dev/vg/large bs=64k seek=300 count=1 oflag=direct status=none
matches large 128 0 6 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 125 256 300 511
matches small 8 "${written[@]}" 2000

dd if=/dev/urandom of=/dev/vg/db bs=64k seek=100 count=80 oflag=direct status=none
equal "the state of tiny" true "$(dmsnap -o json inspect /dev/mapper/vg-tiny-cow | jq .invalid)"
fails_with 3 "is invalid" dmsnap inspect --raw /dev/mapper/vg-tiny-cow
