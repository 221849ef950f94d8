# disks: 64M 64M 64M 64M

# The first good label in sectors 0 to 3 counts; one with a wrong checksum, or of another sector, is none. Volume groups may mix
# devices with no, one and two metadata areas, areas that begin where other machines have them, and room for boot loaders.
pv_of() { dmsnap -o json pv list | jq -r ".pvs[] | select(.device == \"$1\") | .$2"; }
sector() { dmsnap -o json inspect "$1" | jq .label.sector; }
copy() { dd bs=512 count=1 conv=notrunc,fsync status=none "$@"; }

# A label in each sector, as lvm2 writes it; it stays there when a group takes and leaves the device.
disks=(/dev/ubda /dev/ubdb /dev/ubdc /dev/ubdd)
for n in 0 1 2 3; do pvcreate -q --labelsector $n "${disks[n]}"; done
dmsnap vg create vg "${disks[@]}"
for n in 0 1 2 3; do equal "sector on ${disks[n]}" $n "$(sector "${disks[n]}")"; done
lvm2_content vg
dmsnap vg reduce vg /dev/ubdd
equal "sector of the one that left" 3 "$(sector /dev/ubdd)"
pvs /dev/ubdd

# Two good labels: the first counts. ubdd has its own in sector 3, and gets one with another uuid in sector 1.
uuid=$(pv_of /dev/ubdd uuid)
copy if=/dev/ubdd of=/run/third skip=3
pvcreate -q -ff -y --labelsector 1 /dev/ubdd
copy if=/run/third of=/dev/ubdd seek=3
other=$(pvs --noheadings -o uuid /dev/ubdd 2>/dev/null | tr -d ' ')
[ "$uuid" != "$other" ] || fail "lvm2 kept the uuid"
equal "the uuid of two" "$other" "$(pv_of /dev/ubdd uuid)"
# A damaged one is passed over,
copy if=/dev/ubdd of=/run/first skip=1
printf x | dd of=/dev/ubdd bs=1 seek=$((512 + 100)) conv=notrunc,fsync status=none
equal "lvm2's uuid beside a damaged one" "$uuid" "$(pvs --noheadings -o uuid /dev/ubdd | tr -d ' ')"
equal "the uuid beside a damaged one" "$uuid" "$(pv_of /dev/ubdd uuid)"
# and so is one in a sector that it does not name.
copy if=/run/first of=/dev/ubdd seek=0
copy if=/dev/zero of=/dev/ubdd seek=1
equal "lvm2's uuid beside a misplaced one" "$uuid" "$(pvs --noheadings -o uuid /dev/ubdd 2>/dev/null | tr -d ' ')"
equal "the uuid beside a misplaced one" "$uuid" "$(pv_of /dev/ubdd uuid)"
# Labelling anew leaves no other, wiping leaves none.
copy if=/run/third of=/dev/ubdd seek=2
dmsnap pv remove /dev/ubdd
equal "labels left" 0 "$(head -c 2048 /dev/ubdd | grep -c LABELONE || true)"
copy if=/run/third of=/dev/ubdd seek=2
copy if=/run/first of=/dev/ubdd seek=0
dmsnap pv create --wipe /dev/ubdd
equal "labels" 1 "$(head -c 2048 /dev/ubdd | grep -c -a LABELONE || true)"
equal "the sector of a new one" 1 "$(sector /dev/ubdd)"
lvm2_content vg
dmsnap vg remove vg
pvremove -q "${disks[@]}"

# No, one and two areas, and a boot loader's.
pvcreate -q --pvmetadatacopies 0 /dev/ubda
pvcreate -q --bootloaderareasize 300k /dev/ubdb
pvcreate -q --pvmetadatacopies 2 /dev/ubdc
vgcreate -q -s 1M vg /dev/ubda /dev/ubdb /dev/ubdc
dmsnap vg create own --extent-size 1M /dev/ubdd
dmsnap vg remove own
extents() { pvs --noheadings -o pv_pe_count -S "vg_name=$1" | xargs; }
theirs=$(extents vg)
copies() { dmsnap -o json inspect "$1" | jq -c '[.areas[] | .committed.checksum] | [length, (unique | length)]'; }
for number in 1 2 3; do
    dmsnap volume create vg/v$number --size 4M
    lvchange -q --addtag t vg/v$number
done
equal "areas and texts" "[0,0] [1,1] [2,1]" "$(copies /dev/ubda) $(copies /dev/ubdb) $(copies /dev/ubdc)"
bootloader() { dmsnap -o json inspect /dev/ubdb | jq -c '.label.bootloader[0] | [.offset_bytes, .size_bytes]'; }
equal "the boot loader's area" "[1048576,1048576]" "$(bootloader)"
equal "it for lvm2" "1048576 1048576" "$(pvs --noheadings --nosuffix --units b -o ba_start,ba_size /dev/ubdb | xargs)"
vgchange -q -an vg
vgremove -q -f vg
# The same devices in a group of dmsnap's have as many extents.
dmsnap vg create vg --extent-size 1M /dev/ubda /dev/ubdb /dev/ubdc
equal "extents" "$theirs" "$(extents vg)"
equal "the boot loader's area" "[1048576,1048576]" "$(bootloader)"
lvm2_content vg

# A machine with pages of 64 KiB begins its area there.
vgextend -q vg /dev/ubdd
"$TOOLS/forge" area /dev/ubdd 65536
lvm2_content vg
dmsnap volume create vg/v --size 4M
lvchange -q --addtag t vg/v
equal "the area" "[65536,983040]" "$(dmsnap -o json inspect /dev/ubdd | jq -c '.areas[0] | [.offset_bytes, .size_bytes]')"
equal "its text" "[1,1]" "$(copies /dev/ubdd)"
all_agree vg
