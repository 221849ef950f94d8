# disks: 68M 68M 36M

# The same request on the same free extents is granted or refused by both. PVs of 16, 16 and 8 extents.
dmsnap vg create vg /dev/ubda /dev/ubdb /dev/ubdc
equal "extents" 40 "$(vgs --noheadings -o vg_extent_count vg | xargs)"
outcome() { if "$@" >/run/said 2>&1; then echo granted; else echo refused; fi; }

# What is asked of lvm2 is not done by it (--test), then dmsnap is asked for it, and keeps what it gets.
both() { # NAME EXTENTS ALLOC STRIPES [DEVICE...]
    local name=$1 extents=$2 alloc=$3 stripes=$4 theirs ours on=()
    shift 4
    local device
    for device; do on+=(--on "$device"); done
    theirs=$(outcome lvcreate -q -y --test -an -Zn -Wn -n "$name" -l "$extents" --alloc "$alloc" -i "$stripes" vg "$@")
    ours=$(outcome dmsnap volume create "vg/$name" --size $((extents * 4))M --alloc "$alloc" --stripes "$stripes" "${on[@]}")
    equal "$name: $extents extents, $alloc, $stripes stripes, on ${*:-all}" "$theirs" "$ours"
    echo "$name $theirs"
}
grown() { # NAME EXTENTS
    local theirs ours
    theirs=$(outcome lvextend -q -y --test -l "+$2" "vg/$1")
    ours=$(outcome dmsnap volume extend "vg/$1" --size "+$(($2 * 4))M")
    equal "$1 by $2" "$theirs" "$ours"
    echo "$1 by $2: $theirs"
}

both one 17 contiguous 1
both one 17 cling 1
both one 4 contiguous 1 /dev/ubda
both two 4 contiguous 1 /dev/ubda
grown one 1
grown two 1
both clinging 4 cling 1 /dev/ubda
grown clinging 4
grown clinging 2
both wide 30 normal 3
both wide 24 normal 3
both pair 6 contiguous 2 /dev/ubdb /dev/ubdc
both pair 4 contiguous 2 /dev/ubdb /dev/ubdc
both any 8 normal 2
both side 2 anywhere 2 /dev/ubda
both side 2 anywhere 2
both pieces 9 normal 1
both rest 1 normal 1 /dev/ubda
lvs --noheadings -o name,segtype,allocation_policy,devices vg
equal "policy that lvm2 reads" contiguous "$(lvs --noheadings -o allocation_policy vg/one | xargs)"
lvm2_content vg

# A policy of lvm2's holds when dmsnap extends.
lvremove -q -y vg/any
vgchange -q --alloc contiguous vg
lvcreate -q -y -an -Zn -Wn -n theirs -l 1 --alloc inherit vg
grown theirs 4
grown theirs 2

# The store of a striped volume is striped like it.
vgchange -q --alloc normal vg
lvremove -q -y vg
dmsnap volume create vg/striped --size 16M --stripes 2 --stripe-size 128k --on /dev/ubda --on /dev/ubdb
dmsnap snapshot create vg/striped --name like
equal "stripes of the store" "2 131072" "$(reported vg/like stripes) $(reported vg/like stripe_size)"
dmsnap snapshot create vg/striped --name elsewhere --size 8M --on /dev/ubdc
equal "devices of the other" "/dev/ubdc(0)" "$(lvs -a --noheadings -o devices vg/elsewhere | xargs)"
all_agree vg
dmsnap volume remove vg/striped --with-snapshots

# A percentage is an upper limit: of what there is, as much as the devices, the stripes and the policy allow.
as_much() { # PERCENTAGE ALLOC STRIPES [DEVICE...]
    local percentage=$1 alloc=$2 stripes=$3 theirs ours on=() device
    shift 3
    for device; do on+=(--on "$device"); done
    lvcreate -q -y -an -Zn -Wn -n v -l "$percentage" --alloc "$alloc" -i "$stripes" vg "$@"
    theirs=$(reported vg/v lv_size)
    lvremove -q -y vg/v
    dmsnap volume create vg/v --size "$percentage" --alloc "$alloc" --stripes "$stripes" "${on[@]}"
    ours=$(reported vg/v lv_size)
    dmsnap volume remove vg/v
    equal "$percentage, $alloc, $stripes stripes, on ${*:-all}" "$theirs" "$ours"
}
as_much 100%FREE normal 1
as_much 50%FREE normal 1 /dev/ubdc
as_much 150%VG normal 1
as_much 100%FREE normal 2
as_much 100%FREE normal 3
as_much 100%VG cling 1
as_much 40%FREE contiguous 1
fails_with 5 contiguous lvcreate -q -y -an -Zn -Wn -n v -l 100%FREE --alloc contiguous vg
fails_with 5 "in one piece" dmsnap volume create vg/v --size 100%FREE --alloc contiguous
pvchange -q -x n /dev/ubdb
as_much 100%FREE normal 1
pvchange -q -x y /dev/ubdb
dmsnap volume create vg/striped --size 24M --stripes 3
lvextend -q -y --test -l +100%FREE vg/striped
dmsnap volume extend vg/striped --size +100%FREE
equal "the striped volume" $((96 << 20)) "$(reported vg/striped lv_size)"
all_agree vg
