# disks: 64M 64M 64M

# A group may keep its metadata on fewer devices than it has. An area that is ignored is neither read nor written and stays
# ignored; lvm2 finds the others in step, and one that it takes back begins anew.
vgcreate -q vg /dev/ubda /dev/ubdb /dev/ubdc
lvcreate -q -an -Zn -y -n first -L 4M vg
vgchange -q --vgmetadatacopies 1 vg
area() { dd if=$1 iflag=direct bs=4096 skip=1 count=255 status=none | md5sum; }
ignored() { pvs --noheadings -o pv_name,pv_mda_used_count | awk '$2 == 0 { print $1 }' | xargs; }
left=$(ignored)
equal "how many are ignored" 2 "$(wc -w <<<"$left")"
before=$(for dev in $left; do area "$dev"; done)
for number in 1 2 3; do
    dmsnap volume create vg/v$number --size 4M
    lvchange -q --addtag t vg/v$number
done
lvm2_content vg
equal "which are ignored" "$left" "$(ignored)"
equal "what is in them" "$before" "$(for dev in $left; do area "$dev"; done)"
equal "the number to keep" 1 "$(vgs --noheadings -o vg_mda_copies vg | tr -d ' ')"
for dev in $left; do
    equal "ignored on $dev" true "$(dmsnap -o json inspect "$dev" | jq '.areas[0].committed.ignored')"
done

vgchange -q --vgmetadatacopies all vg
equal "none is ignored" "" "$(ignored)"
dmsnap volume create vg/last --size 4M
for dev in /dev/ubda /dev/ubdb /dev/ubdc; do dmsnap -o json inspect "$dev" | jq -c '.areas[0].committed | [.checksum, .intact]'; done >/run/texts
equal "texts" 1 "$(sort -u /run/texts | wc -l)"
all_agree vg
