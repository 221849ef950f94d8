# After a cut, whatever it was: somebody opens the volume group vg first, dmsnap finds nothing left to do, and lvm2 checks and changes
# it. vg/origin and its snapshots hold rings of the writer's records, 8192 of 512 bytes: a sector is never torn.

ring=(--record 512 --slots 8192)

# The first who comes is one of four. Afterwards nothing is left to do.
opened() {
    # Nobody who was here before, and was cut off, has left this name.
    local extra=x$RANDOM$RANDOM
    case $((RANDOM % 4)) in
        0) ;;
        1) dmsnap -q repair vg >/dev/null ;;
        2) dmsnap -q volume create vg/$extra --size 1M >/dev/null
           dmsnap -q volume remove vg/$extra >/dev/null ;;
        3) lvm vgchange -ay vg >/tmp/answers 2>&1 || { cat /tmp/answers; fail "lvm2 cannot activate it"; }
           dmsnap -q repair vg >/dev/null ;;
    esac
    dmsnap -q activate vg >/dev/null
    dmsnap -q check vg >/tmp/check || { cat /tmp/check; fail "dmsnap check finds something to do"; }
    kernel_at_rest
}

# lvm2 finds nothing wrong, activates all, and changes it; what there is, is in `rows`. A process of its own each time: one that
# goes on remembers devices that are no more.
changed() {
    local answers extra=x$RANDOM$RANDOM
    printf '%s\n' 'vgck vg' "lvs ${columns[*]}" 'vgchange -ay vg' \
        "lvcreate -an -Zn -l 1 -n $extra vg" "lvremove -y vg/$extra" >/tmp/commands
    lvm </tmp/commands >/tmp/answers 2>&1 || { cat /tmp/answers; fail "lvm2 failed"; }
    mapfile -t answers < <(sed '/^ *$/d' /tmp/answers)
    [[ ${answers[*]: -4} == *' in volume group "vg" now active '*" \"$extra\" created. "*" \"$extra\" successfully removed." ]] ||
        fail "lvm2 says: ${answers[*]}"
    rows_of "${answers[@]::${#answers[@]}-4}"
}

# Each volume as lvm2 sees it, NAME:ORIGIN:TAGS:MIB, sorted, in `rows`.
columns=(--noheadings --nosuffix --units m --separator : -o lv_name,origin,lv_tags,lv_size vg)
survey() {
    local answers
    mapfile -t answers < <(lvs "${columns[@]}" 2>&1)
    rows_of "${answers[@]}"
}

rows_of() { # LINE-OF-LVS...
    local line
    rows=
    for line; do
        line=${line// /} line=${line%.00}
        [[ $line =~ ^[a-z0-9]+:[a-z0-9]*:[a-z.,-]*:[0-9]+$ ]] || fail "lvm2 says: $*"
        rows+="$line "
    done
}

# The ring there is whole and ends with one of these records: with which, is in `last`.
records() { # NAME LEAST MOST
    local found
    found=$(head -c 4M "/dev/vg/$1" | "$TOOLS/writer" verify /dev/stdin "${ring[@]}") || fail "the records in $1 are not whole"
    last=${found##*\"last\":} last=${last%%,*}
    [ "$last" -ge "$2" ] && [ "$last" -le "$3" ] || fail "$1 ends with record $last, and not with $2 to $3"
}
