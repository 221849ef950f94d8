# disks: 64M
# timeout: 600

# No udevd runs here: whoever dies while it renames leaves nodes and links of the old names, and the next command takes them away.
dmsnap vg create vg /dev/ubda
dmsnap volume create vg/v --size 8M
dmsnap snapshot create vg/v --name s --size 4M

# Every node and link, and where a link leads.
paths() {
    local path
    for path in /dev/mapper/* /dev/vg/* /dev/new/*; do
        [ ! -e "$path" ] && [ ! -L "$path" ] || [ "$path" = /dev/mapper/control ] ||
            echo "$path $(stat -L -c %Hr:%Lr "$path" 2>/dev/null || echo nowhere)"
    done
}
# What there has to be: a node for each device, a link for each that people use.
wanted() {
    local name number group lv
    while read -r name number; do
        echo "/dev/mapper/$name $number"
        case $name in *-real | *-cow) continue ;; esac
        group=${name%%-*} lv=${name#*-}
        echo "/dev/$group/$lv $number"
    done < <(dmsetup info -c --noheadings --separator ' ' -o name,devno) | sort
}
groups() { dmsnap -o json vg list | jq -r '.vgs[].name'; }

renamed_and_killed() { # ARGUMENT...
    local step status
    for ((step = 1 + RANDOM % stride; step <= 200; step += stride)); do
        status=0
        DMSNAP_KILL_AT=$step "$DMSNAP" -q "$@" 2>/run/said || status=$?
        echo "$*, killed before step $step: $status"
        dmsnap repair "$(groups)"
        equal "paths" "$(wanted)" "$(paths | sort)"
        equal "tags" "" "$(vgs --noheadings -o vg_tags,lv_tags "$(groups)" | xargs)"
        [ $status != 0 ] || return 0
        [ "$status" = 137 ] || fail "status $status: $(cat /run/said)"
        # Back to where it began.
        [ "$(groups)" = vg ] || dmsnap -q vg rename new vg
        lvs vg/v >/dev/null 2>&1 || dmsnap -q volume rename vg/w v
    done
    fail "no end after 200 steps"
}

stride=$(each_so_many 7)
renamed_and_killed volume rename vg/v w
dmsnap volume rename vg/w v
renamed_and_killed vg rename vg new
all_agree new
