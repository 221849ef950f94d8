# Test 26 of those that an independent implementation must pass: the kernel takes the header's chunk size.
# disks: 256M

fill() { # BYTE DEVICE SIZE
    head -c "$3" /dev/zero | tr '\0' "$1" | dd of="$2" oflag=direct bs=64k iflag=fullblock status=none
}

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
fill a /dev/vg/o 32768K
dmsnap snapshot create vg/o --name s --chunk-size 64k
fill b /dev/vg/o 8192K
before=$(md5sum </dev/vg/s)
dmsnap deactivate vg
vgcfgbackup -q -f /run/text vg
grep -q 'chunk_size = 128' /run/text
sed -i 's/chunk_size = 128/chunk_size = 16/' /run/text
vgcfgrestore -q -y -f /run/text vg
agreed vg activate vg
[[ $(dmsetup table vg-s) = *" P 128" ]] || fail "the kernel took the metadata's chunk size"
equal "the chunk size that is listed" 65536 "$(listed snapshot vg/s chunk_bytes)"
equal "content" "$before" "$(md5sum </dev/vg/s)"
kernel_state >/run/before
agreed vg repair vg
diff /run/before <(kernel_state) || fail "there was nothing to repair"
dmsnap snapshot create vg/o --name t --chunk-size 16k
fill c /dev/vg/o 32768K
equal "content behind a second one" "$before" "$(md5sum </dev/vg/s)"
agreed vg snapshot remove vg/t
agreed vg snapshot remove vg/s
