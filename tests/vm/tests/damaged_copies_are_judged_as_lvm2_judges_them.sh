# disks: 32M 32M

# The newest of several versions counts and the next commit renews the others. A text may lack its NUL or begin anywhere. A damaged
# area is passed over while another is whole; if none is, there is no group to change, and its devices are not free.
forge() { "$TOOLS/forge" "$@"; }
keep() { dd if=$1 of="/run/$2" iflag=direct bs=1M count=1 status=none; }
bring_back() { dd of=$1 if="/run/$2" oflag=direct bs=1M count=1 status=none; }
group() { dmsnap -o json vg list vg | jq -r ".vgs[0].$1"; }
in_step() { equal "what vgck says" "" "$(vgck vg 2>&1)"; }
# dmsnap and lvm2 see the same version, both change it, and then they agree.
goes_on() {
    local theirs
    theirs=$(vgs --noheadings -o seqno vg 2>/dev/null | tail -n 1 | tr -d ' ')
    equal "seqno $1" "$theirs" "$(group seqno)"
    dmsnap volume create "vg/$1" --size 4M
    lvchange --addtag t "vg/$1"
}

vgcreate -q vg /dev/ubda /dev/ubdb
# An older version on one device.
keep /dev/ubdb old
dmsnap volume create vg/v --size 4M
bring_back /dev/ubdb old
goes_on divergent
in_step

# No NUL behind the text, which begins in the middle of a sector.
forge place /dev/ubda 200001
forge place /dev/ubdb 200001
in_step
goes_on misaligned
lvm2_content vg

# One header is damaged: neither tool writes there before lvm2 repairs it.
printf x | dd of=/dev/ubda bs=1 seek=$((4096 + 100)) conv=notrunc,fsync status=none
keep /dev/ubda damaged
goes_on header
keep /dev/ubda after
cmp /run/damaged /run/after || fail "a damaged area was written"
vgck --updatemetadata vg
goes_on repaired
in_step

# The same with the text of one.
offset=$(dmsnap -o json inspect /dev/ubda | jq '.areas[0].committed.offset_bytes')
printf XXXX | dd of=/dev/ubda bs=1 seek=$((4096 + offset + 100)) conv=notrunc,fsync status=none
goes_on text
vgck --updatemetadata vg
goes_on repaired-again
in_step

# Two texts under one seqno: which of them is right nobody knows. lvm2 takes the first that it sees; dmsnap changes nothing.
keep /dev/ubda a; keep /dev/ubdb b
vgchange -q --addtag one vg
keep /dev/ubdb one
bring_back /dev/ubda a; bring_back /dev/ubdb b
vgchange -q --addtag two vg
bring_back /dev/ubdb one
before=$(disk_sum)
fails_with 7 "two different versions under seqno" dmsnap volume create vg/x --size 4M
fails_with 7 "two different versions under seqno" dmsnap activate vg/v
equal "the disks" "$before" "$(disk_sum)"
dmsnap volume list vg
bring_back /dev/ubda a; bring_back /dev/ubdb b
goes_on healed

# None is whole.
vgchange -q -an vg
for dev in /dev/ubda /dev/ubdb; do printf x | dd of=$dev bs=1 seek=$((4096 + 100)) conv=notrunc,fsync status=none; done
before=$(disk_sum)
lvm2_groups=$(vgs --noheadings 2>/dev/null)
equal "lvm2's groups" "" "$lvm2_groups"
fails_with 3 "no volume group vg" dmsnap volume list vg
fails_with 7 "belongs to a volume group that cannot be read" dmsnap vg create new /dev/ubda
fails_with 5 "" vgcreate new /dev/ubda
equal "the disks" "$before" "$(disk_sum)"
