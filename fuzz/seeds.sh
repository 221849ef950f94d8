# disks: 256M 256M 256M 256M
# timeout: 300
# Prints what real lvm2 and the real kernel write, as seeds: a line "SEED target/name", with the bytes in gzip and base64. Run and unpack:
#
#   tests/vm/boot fuzz/seeds.sh | sed -n 's/^SEED //p' | while read -r name bytes; do
#       base64 -d <<<"$bytes" | gzip -d >"fuzz/corpus/$name"; done
#
# A physical volume's seed ends with the last byte that is not zero of what lies before its extents.

seed() { echo "SEED $1 $(gzip -9n | base64 -w 0)"; }

# The first byte of a seed of `device` says what sort of device it is; 0 is a plain one.
head_of() { # DISK BYTES
    dd if="$1" bs=1k count=100 iflag=direct status=none | python3 -c 'import sys; sys.stdout.buffer.write(bytes([int(sys.argv[1])]) + sys.stdin.buffer.read().rstrip(b"\0"))' "$2"
}

devices() { # NAME
    local disk
    for disk in a b; do head_of "/dev/ubd$disk" 0 | seed "device/$1-$disk"; done
    # The first byte of a seed of `label` says in which sector a label is, or that a metadata area's header comes.
    dd if=/dev/ubda bs=512 skip=1 count=1 iflag=direct status=none | { printf '\1'; cat; } | seed "label/$1-label"
    dd if=/dev/ubda bs=4k skip=1 count=1 iflag=direct status=none | { printf '\200'; head -c 512; } | seed "label/$1-area"
}

clean() { # VG
    vgchange -qan "$1"
    vgremove -qff -y "$1" >/dev/null
    pvremove -qff -y /dev/ubd[a-d] >/dev/null
    local disk
    for disk in a b c d; do dd if=/dev/zero "of=/dev/ubd$disk" bs=1M count=2 status=none; done
}

vgcreate -q --setautoactivation n linear /dev/ubda
lvcreate -qy -Wn -L8M -n db linear
lvcreate -qy -Wn -L8M -n logs --addtag nightly linear
vgchange -q --addtag 'k=v/w' linear
devices linear
clean linear

vgcreate -q striped /dev/ubda /dev/ubdb
lvcreate -qy -Wn -L16M -i2 -I64k -n db striped
lvcreate -qy -s -L8M -n s striped/db
devices snapshot
lvconvert -qy --merge striped/s
clean striped

vgcreate -q --vgmetadatacopies 1 --metadatasize 32k --dataalignment 4k wide /dev/ubd[a-d]
lvcreate -qy -Wn -L8M --type raid1 -m1 -n r wide
lvcreate -qy -Wn -L8M --type mirror -m1 -n m wide
for i in 1 2 3 4 5 6 7 8 9; do lvchange -q --addtag "t$i" wide/r; done
devices wrapped
clean wide

pvcreate -q --bootloaderareasize 64k /dev/ubda
vgcreate -q --pvmetadatacopies 2 pool /dev/ubda /dev/ubdb /dev/ubdc
lvcreate -qy -L16M -T pool/thin
lvcreate -qy -V 32M -T pool/thin -n v
lvcreate -qy -Wn -L16M -n slow pool /dev/ubda
lvcreate -qy -L12M --type cache-pool -n fast pool /dev/ubdb
lvconvert -qy --type cache --cachepool pool/fast pool/slow
devices pool
clean pool

pvcreate -q /dev/ubda
pvcreate -q --pvmetadatacopies 0 /dev/ubdb
devices bare
pvremove -qff -y /dev/ubda /dev/ubdb

# A store with chunks of one sector, of three areas: linear devices, no lvm2.
dmsetup create origin --table '0 4096 linear /dev/ubda 0'
dmsetup create cow --table '0 400 linear /dev/ubdb 0'
dd if=/dev/zero of=/dev/ubdb bs=4k count=1 status=none oflag=direct
dmsetup create snap --table '0 4096 snapshot /dev/mapper/origin /dev/mapper/cow P 1'
store() { # NAME
    dmsetup suspend snap
    dd if=/dev/ubdb bs=512 count=400 iflag=direct status=none |
        python3 -c 'import sys; sys.stdout.buffer.write((400).to_bytes(2, "little") + sys.stdin.buffer.read()[:20000].rstrip(b"\0"))' | seed "store/$1"
    dmsetup resume snap
}
store empty
for at in 0 8 9 100 2000; do dd if=/dev/zero of=/dev/mapper/snap bs=512 seek=$at count=1 oflag=direct status=none; done
store five
dd if=/dev/zero of=/dev/mapper/snap bs=512 seek=300 count=27 oflag=direct status=none
store full-area
dd if=/dev/zero of=/dev/mapper/snap bs=512 seek=400 count=40 oflag=direct status=none
store areas
dd if=/dev/zero of=/dev/mapper/snap bs=512 seek=1000 count=400 oflag=direct status=none 2>/dev/null || true
store invalid
