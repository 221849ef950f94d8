# A command killed before its N-th step, for every N until it lives to its end: each time the next command must put everything
# right. The product kills itself: DMSNAP_KILL_AT=N is a SIGKILL right before its N-th disk write, flush, or change of a device.

# A volume group over two disks; in vg/origin a mounted file system with a known file.
killing_ground() {
    dmsnap vg create vg /dev/ubda /dev/ubdb
    dmsnap volume create vg/origin --size 16M
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/vg/origin
    mkdir origin snapshot
    mount /dev/vg/origin origin
    head -c 1M /dev/urandom >origin/file
    sync
    known=$(md5sum <origin/file)
}

# For each N, or with STRIDE for each so many from one that is drawn by lot: prepare, kill the command, let the next command run, and judge.
# Functions the test provides: prepare (bring the world to where the command makes sense), the_command (run it, through "$@"),
# judge (what must hold afterwards beyond what always must).
killed_at_every_step() { # [STRIDE]
    local step status stride=${1:-1} killed=0
    survey
    for ((step = 1 + RANDOM % stride; step <= 500; step += stride)); do
        prepare >/dev/null
        status=0
        DMSNAP_KILL_AT=$step the_command "$DMSNAP" -q >killed.said 2>&1 || status=$?
        if [ $status = 0 ]; then
            [ $step -gt $stride ] || fail "DMSNAP_KILL_AT=$step killed nothing"
            echo "lived from step $step on"
            echo "tally: $killed commands killed before a step"
            always
            judge
            lvm2_content vg
            return
        fi
        [ $status = 137 ] || { cat killed.said; fail "step $step: status $status and not a kill"; }
        # Before the next command runs the origin may be suspended: nothing here may touch it. lvm2 can read the metadata all the same.
        [ $((step % 3)) != 0 ] || nothing_live_is_free
        next >next.said 2>&1 || { cat next.said; fail "step $step: the next command failed with status $?"; }
        echo "killed before step $step"
        killed=$((killed + 1))
        always
        judge
    done
    fail "no end after 500 steps"
}

# Any command that changes the volume group: now one that makes a volume, now one that removes it.
next() {
    local what=(create vg/next --size 4M)
    ! exists volume next || what=(remove vg/next)
    "$DMSNAP" -q volume "${what[@]}"
}

# What lvm2 would give to the next who asks is mapped by no device: the free extents of its metadata against the live tables, as
# sectors of /dev/ubda (98:0) and /dev/ubdb (98:16).
nothing_live_is_free() {
    local -A disks=([/dev/ubda]=98:0 [/dev/ubdb]=98:16)
    local free=() first end line words range disk begin extent start size lv at length i
    pvs --noheadings --segments --units s --nosuffix -o pv_name,pe_start,vg_extent_size,pvseg_start,pvseg_size,lv_name \
        -S vg_name=vg >free.extents 2>/dev/null || fail "step $step: lvm2 cannot read the volume group"
    while read -r disk begin extent start size lv; do
        [ -n "$lv" ] || free+=("${disks[$disk]} $((begin + start * extent)) $((begin + (start + size) * extent))")
    done <free.extents
    [ ${#free[@]} -gt 0 ] || fail "step $step: nothing is free"
    dmsetup table >live.tables
    while IFS= read -r line; do
        # NAME: START LENGTH linear DISK AT, or NAME: START LENGTH striped STRIPES SIZE DISK AT DISK AT...
        read -ra words <<<"$line"
        case ${words[3]-} in
            linear) i=4 length=${words[2]} ;;
            striped) i=6 length=$((words[2] / words[4])) ;;
            *) continue ;;
        esac
        for (( ; i + 1 < ${#words[@]}; i += 2)); do
            at=${words[i + 1]}
            for range in "${free[@]}"; do
                read -r disk first end <<<"$range"
                [ "$disk" != "${words[i]}" ] || [ "$at" -ge "$end" ] || [ $((at + length)) -le "$first" ] ||
                    fail "step $step: extents are free that a device maps: $line"
            done
        done
    done <live.tables
}

# What must hold after every kill and the next command.
always() {
    kernel_at_rest
    dmsnap check vg || fail "dmsnap check finds something to do"
    survey
    equal "the origin's file" "$known" "$(md5sum <origin/file)"
    echo $RANDOM >origin/written
    sync -f origin || fail "the origin cannot be written"
}

# What there is, as lvm2 sees it: NAME of each volume, NAME and NAME:active of each snapshot. Also the heart of lvm2_content, in one
# process; all of that comes at the end.
survey() {
    local name attributes lines errors
    lvs -a -o lv_name,lv_attr,lv_all,seg_all --nameprefixes --noheadings --separator : vg >lvm2.rows 2>lvm2.errors ||
        fail "lvm2: $(<lvm2.errors)"
    errors=$(<lvm2.errors) lines=$(<lvm2.rows)
    [ -z "$errors" ] || fail "lvm2 said: $errors"
    [[ ${lines,,} != *warning* ]] || fail "lvm2 warns: $lines"
    volumes=' ' snapshots=' '
    while IFS="'" read -r _ name _ attributes _; do
        case $attributes in
        [sS]???a*) snapshots+="$name $name:active " ;;
        [sS]*) snapshots+="$name " ;;
        *) volumes+="$name " ;;
        esac
    done < <(grep -o "LVM2_LV_NAME=.*LVM2_LV_ATTR=.*" lvm2.rows)
}

exists() { # volume|snapshot NAME
    local all=$volumes
    [ "$1" = volume ] || all=$snapshots
    [[ $all == *" $2 "* ]]
}

# The snapshots among these that exist hold the known file.
hold_the_file() { # NAME...
    local name
    for name; do
        exists snapshot $name || continue
        [[ $snapshots == *" $name:active "* ]] || fail "$name is not active: $snapshots"
        mount -o ro /dev/vg/$name snapshot
        equal "the file in $name" "$known" "$(md5sum <snapshot/file)"
        umount snapshot
    done
}

# Brings a snapshot or a volume to be no more, whatever the last kill left.
without() { # volume|snapshot NAME
    ! exists "$1" "$2" || dmsnap -q "$1" remove "vg/$2"
}
