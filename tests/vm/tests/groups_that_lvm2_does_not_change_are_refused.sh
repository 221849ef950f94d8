# disks: 16M

# What lvm2 leaves alone dmsnap leaves alone: words and segment types that nobody knows, groups of other hosts, shared, clustered,
# exported and read-only ones. They are listed with the reason, and nothing is written.
forge() { "$TOOLS/forge" "$@"; }
. "$TOP/tests/vm/shell.sh"
vgcreate -q vg /dev/ubda
lvcreate -q -an -Zn -y -n v -L 8M vg
dd if=/dev/ubda of=/run/good iflag=direct bs=1M count=1 status=none
restore() { dd of=/dev/ubda if=/run/good oflag=direct bs=1M count=1 status=none; }
lvm2_shell

# Neither changes it; both activate its volume, or neither does.
both_refuse() { # WORDS ACTIVATES OLD NEW
    local words=$1 activates=$2 sum line
    restore
    forge text /dev/ubda "$3" "$4"
    sum=$(disk_sum)
    fails_with 7 "$words" dmsnap volume create vg/x --size 4M
    [[ $(dmsnap -o json vg list vg | jq -r '.vgs[0].reason') == *"$words"* ]] || fail "the list does not say '$words'"
    dmsnap -q volume list vg >/run/list || fail "its volumes are not listed"
    lvm2_says 'vgchange --addtag t vg'
    for line in "${said[@]}"; do [[ $line != *successfully* ]] || fail "lvm2 changes it: $line"; done
    lvm2_says 'lvchange -ay vg/v'
    if [ "$activates" = yes ]; then
        [ -e /dev/mapper/vg-v ] || fail "lvm2 does not activate it: ${said[*]}"
        lvm2_says 'lvchange -an vg/v'
        dmsnap -q activate vg/v
        dmsnap -q deactivate vg/v
    else
        [ ! -e /dev/mapper/vg-v ] || fail "lvm2 activates it"
        fails_with 7 vg/v dmsnap activate vg/v
    fi
    equal "the disk" "$sum" "$(disk_sum)"
}
both='["RESIZEABLE", "READ", "WRITE"]'
both_refuse "the status NEW" no "$both" '["RESIZEABLE", "READ", "WRITE", "NEW"]'
both_refuse "the status ODD" no '["READ", "WRITE", "VISIBLE"]' '["READ", "WRITE", "VISIBLE", "ODD"]'
both_refuse "segments of type novel" no 'type = "striped"' 'type = "novel"'
both_refuse "segments of type striped+NEW" no 'type = "striped"' 'type = "striped+NEW"'
both_refuse "segments of type free" no 'type = "striped"' 'type = "free"'
both_refuse "system id stranger" no 'extent_size' $'system_id = "stranger"\nextent_size'
both_refuse "sanlock locks" no 'extent_size' $'lock_type = "sanlock"\nextent_size'
both_refuse "is clustered" no "$both" '["RESIZEABLE", "READ", "WRITE", "CLUSTERED"]'
both_refuse "is exported" no "$both" '["EXPORTED", "RESIZEABLE", "READ", "WRITE"]'
both_refuse "is read-only" no "$both" '["RESIZEABLE", "READ"]'
both_refuse "in two volumes" no 'logical_volumes {' 'logical_volumes {
w {
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
status = ["READ", "WRITE", "VISIBLE"]
segment_count = 1
segment1 {
start_extent = 0
extent_count = 1
type = "striped"
stripe_count = 1
stripes = [ "pv0", 1 ]
}
}'

# What lvm2 reads and uses, and never writes: the volumes can be activated, but for what has no name that can be one.
both_refuse "has lock_args and no lock_type" yes 'extent_size' $'lock_args = "x"\nextent_size'
both_refuse "a volume with lock_args" yes 'segment_count' $'lock_args = "1.0.0:128"\nsegment_count'
both_refuse 'a form that LVM2 does not write, a\x20b' yes 'extent_size' $'tags = ["a b"]\nextent_size'
both_refuse 'a form that LVM2 does not write, a\x2cb' yes 'segment_count' $'tags = ["a,b"]\nsegment_count'
both_refuse 'a form that LVM2 does not write, w\x20x' yes 'logical_volumes {' 'logical_volumes {
"w x" {
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
status = ["READ", "WRITE", "VISIBLE"]
segment_count = 1
segment1 {
start_extent = 0
extent_count = 1
type = "striped"
stripe_count = 1
stripes = [ "pv0", 2 ]
}
}'
both_refuse "segments of type striped+METADATA_FORMAT" no 'type = "striped"' 'type = "striped+METADATA_FORMAT"'

# A local lock type and words in `flags` bind nobody.
restore
forge text /dev/ubda 'extent_size' $'lock_type = "none"\nextent_size'
forge text /dev/ubda 'flags = []' 'flags = ["NEW"]'
dmsnap volume create vg/x --size 4M
lvm2_content vg

# What says when a volume was created but not where, or where but not when, is damage to both.
for key in creation_time creation_host; do
    restore
    forge text /dev/ubda "$key" "x$key"
    fails_with 7 "$key is missing" dmsnap volume list vg
    lvm2_says 'vgs vg'
    [[ ${said[*]} == *"$key"* ]] || fail "lvm2 reads it: ${said[*]}"
done

# Numbers that are none to a stricter reader: a list of one, a limit below 0, a time before all.
for pair in 'extent_size = 8192|extent_size = [8192]' 'max_lv = 0|max_lv = -1' 'creation_time = 1|creation_time = -1'; do
    restore
    forge text /dev/ubda "${pair%|*}" "${pair#*|}"
    lvm2_says 'vgs vg'
    [[ ${said[*]} == *wz--n-* ]] || fail "lvm2 does not read ${pair#*|}: ${said[*]}"
    dmsnap volume create vg/y --size 4M
    lvm2_content vg
    dmsnap -q volume remove vg/y
done

# A group that has more volumes than it may gets no more, and is changed otherwise.
restore
dmsnap volume create vg/y --size 4M
forge text /dev/ubda 'max_lv = 0' 'max_lv = 1'
dmsnap volume rename vg/y vg/z
lvm2_says 'lvrename vg/z vg/y'
[[ ${said[*]} == *Renamed* ]] || fail "lvm2 does not rename in it: ${said[*]}"
dmsnap volume remove vg/y
fails_with 5 "may have 1 volumes only" dmsnap volume create vg/z --size 4M
