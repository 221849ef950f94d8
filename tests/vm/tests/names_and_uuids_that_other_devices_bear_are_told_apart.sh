# Test 19 of those that an independent implementation must pass: right name with a wrong uuid, right uuid with a wrong name.
# disks: 256M

fill() { # BYTE DEVICE SIZE
    head -c "$3" /dev/zero | tr '\0' "$1" | dd of="$2" oflag=direct bs=64k iflag=fullblock status=none
}

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
dmsnap snapshot create vg/o --name s
dmsnap volume create vg/plain --size 8M
fill p /dev/vg/plain 64K

# The device is the volume's, whatever it is called.
dmsetup rename vg-o vg-elsewhere
dmsetup rename vg-s-cow cow
dmsetup rename vg-plain plain
fails_with 1 "rename vg-elsewhere to vg-o" dmsnap check vg
agreed vg repair vg
equal "names" "vg-o vg-o-real vg-plain vg-s vg-s-cow " "$(dmsetup ls | cut -f1 | sort | tr '\n' ' ')"
[ /dev/vg/o -ef /dev/mapper/vg-o ]
dmsetup rename vg-o vg-elsewhere
agreed vg snapshot create vg/o --name t
agreed vg snapshot remove vg/t

# A name that another device bears is not taken from it.
dmsetup create vg-new --uuid somebody-else --table "0 8 zero"
fails_with 7 "the name vg-new is borne by a device that is not this volume's" dmsnap volume create vg/new --size 4M
lvm2_knows_not vg/new || fail "a refused volume is in the metadata"
equal "the other's device" "0 8 zero" "$(dmsetup table vg-new | sed 's/ *$//')"
dmsetup create vg-n2-cow --table "0 8 zero"
fails_with 7 "the name vg-n2-cow is borne" dmsnap snapshot create vg/o --name n2
lvm2_knows_not vg/n2 || fail "a refused snapshot is in the metadata"
kernel_at_rest
dmsetup remove vg-new
dmsetup remove vg-n2-cow
agreed vg volume create vg/new --size 4M
agreed vg snapshot create vg/o --name n2
agreed vg snapshot remove vg/n2

# Nor does it keep other volumes down, or a volume that has its own.
dmsnap deactivate vg
dmsetup create vg-plain --uuid somebody-else --table "0 8 zero"
fails_with 7 "the name vg-plain is borne" dmsnap activate vg
equal "volumes that are up" "active active" "$(listed volume vg/o state) $(listed volume vg/new state)"
dmsetup remove vg-plain

# A device with a volume's uuid becomes the volume's.
uuid=LVM-$(vgs --noheadings -o vg_uuid vg | tr -d ' -')$(lvs --noheadings -o lv_uuid vg/plain | tr -d ' -')
dmsetup create impostor --uuid "$uuid" --table "0 16384 zero"
agreed vg activate vg
equal "content" p "$(head -c1 /dev/vg/plain)"
! dmsetup info impostor 2>/dev/null || fail "two devices for one volume"

# A name that gets too long for a device, with its layer.
long=$(printf 'k-%.0s' {1..40})k
fails_with 2 "at most 127 fit" dmsnap volume create "vg/${long}-k-k" --size 4M
fails_with 2 "at most 127 fit" dmsnap snapshot create vg/o --name "$long"
all_agree vg
