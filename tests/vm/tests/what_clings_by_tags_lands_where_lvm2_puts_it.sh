# disks: 36M 36M 36M 36M

# Two sites, left and right, of 8 extents twice each: the same request gets the same extents from both tools, or from none.
dmsnap vg create vg /dev/ubda /dev/ubdb /dev/ubdc /dev/ubdd
equal "extents" 32 "$(vgs --noheadings -o vg_extent_count vg | xargs)"
pvchange -q --addtag left /dev/ubda /dev/ubdc
pvchange -q --addtag right --addtag spare /dev/ubdb /dev/ubdd
cling_to() { # LIST
    lvm_conf
    printf 'allocation { cling_tag_list = [ %s ] }\n' "$1" >>/etc/lvm/lvm.conf
}

place() { # NAME; nothing if it is not there
    { lvs --noheadings -o seg_pe_ranges "vg/$1" 2>/dev/null || true; } | xargs
}
# What lvm2 does is undone, then dmsnap is asked.
both() { # NAME LVM2-COMMAND -- DMSNAP-ARGUMENTS
    local name=$1 theirs ours before=() granted
    shift
    while [ "$1" != -- ]; do before+=("$1"); shift; done
    shift
    vgcfgbackup -q -f /run/before vg
    if "${before[@]}" >/run/said 2>&1; then granted=yes; else granted=no; fi
    theirs="$granted $(place "$name")"
    vgcfgrestore -q -f /run/before vg 2>&1
    if dmsnap "$@" >/run/said 2>&1; then granted=yes; else granted=no; fi
    ours="$granted $(place "$name")"
    dmsnap -q deactivate vg
    [ "$theirs" = "$ours" ] || cat /run/said
    equal "$*" "$theirs" "$ours"
    echo "$*: $ours"
}
made() { # NAME EXTENTS POLICY [DEVICE]
    both "$1" lvcreate -q -y -an -Zn -Wn -n "$1" -l "$2" --alloc "$3" vg ${4-} -- \
        volume create "vg/$1" --size $(($2 * 4))M --alloc "$3" ${4:+--on "$4"}
}
grown() { # NAME EXTENTS
    both "$1" lvextend -q -y -l "+$2" "vg/$1" -- volume extend "vg/$1" --size +$(($2 * 4))M
}

cling_to '"@left", "@right"'
made v 6 cling_by_tags
grown v 6
equal "both on the left" "/dev/ubda:0-7 /dev/ubdc:0-3" "$(place v)"
grown v 5
grown v 4
made w 4 normal /dev/ubdb
# Nothing else was asked for, but the list is there.
grown w 6
equal "both on the right" "/dev/ubdb:0-7 /dev/ubdd:0-1" "$(place w)"
made x 7 cling_by_tags
lvremove -q -y vg

cling_to '"@nowhere"'
made v 6 cling_by_tags
grown v 3
cling_to '"@*"'
grown v 3
lvremove -q -y vg
made v 12 cling_by_tags /dev/ubdb
made v 12 cling_by_tags
equal "policy that lvm2 reads" cling "$(lvs --noheadings -o allocation_policy vg/v | xargs)"
both s lvcreate -q -y -an -Zn -Wn -n s -l 4 -i 2 --alloc cling_by_tags vg -- \
    volume create vg/s --size 16M --stripes 2 --alloc cling_by_tags
lvm2_content vg
