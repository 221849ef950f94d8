# One of those who work at once: see workers.sh. Its volumes are in `volumes`, by name: ORIGIN:TAGS:MIB, without size if it has an origin.
# What rolls back or copies is held against what it was made from, at its begin: there alone a worker writes.

worker() { # LETTER
    local letter=$1 count text row number=0
    local -A volumes=() wanted=()
    RANDOM=$((SEED + LIFE * 1000 + SECONDS * 10 + $(printf %d "'$letter")))
    recall "$letter"
    for row in $is; do volumes[${row%%:*}]=${row#*:}; done
    number=$(wc -l <"$RESULTS/$letter")
    for ((count = 3 + RANDOM % 6; count > 0; count--)); do step; done
}

text_of() { # ARRAY
    local -n array=$1
    local name
    text=
    [ ${#array[@]} = 0 ] || while read -r name; do text+="$name:${array[$name]} "; done < <(printf '%s\n' "${!array[@]}" | LC_ALL=C sort)
}

# One command, and what it comes to.
step() {
    local name command=() status=0 cut='' twin='' source='' copy='' wanted_sum='' kind
    # Each step is at least two lines in the notes: so a name is never given twice.
    number=$((number + 1))
    while [ ${#command[@]} = 0 ]; do
        wanted=()
        for name in "${!volumes[@]}"; do wanted[$name]=${volumes[$name]}; done
        draw
    done
    text_of wanted
    note "$letter" may "$text"
    echo "$kind" >>"$RESULTS/kinds.$letter"
    [ -z "$source" ] || wanted_sum=$(sum "$source")
    [ -z "$cut" ] || echo "before $cut $(promised acknowledged)" >>"$RESULTS/cuts"
    execute || status=$?
    case $status in
        0) ;;
        137) note "$letter" killed ''
             settle ;;
        5) grep -qiE 'insufficient|free extents|has .* free' "/tmp/said.$letter" || refused
           wanted=()
           for name in "${!volumes[@]}"; do wanted[$name]=${volumes[$name]}; done ;;
        *) refused ;;
    esac
    [ -z "$twin" ] || twins
    [ -z "$source" ] || shows
    [ -z "$cut" ] || echo "behind $cut $(promised started)" >>"$RESULTS/cuts"
    volumes=()
    for name in "${!wanted[@]}"; do volumes[$name]=${wanted[$name]}; done
    text_of volumes
    note "$letter" is "$text"
}

refused() {
    cat "/tmp/said.$letter"
    fail "status $status from: ${command[*]}"
}

# One of five is killed: dmsnap before one of its steps or at any time, lvm2 at any time.
execute() {
    case $((RANDOM % 10)) in
        0) [ $letter = l ] || command=(env "DMSNAP_KILL_AT=$((1 + RANDOM % 50))" "${command[@]}") ;;
        1) command=(timeout -s KILL "0.$((RANDOM % 4))$((RANDOM % 10))" "${command[@]}") ;;
    esac
    "${command[@]}" >"/tmp/said.$letter" 2>&1
}

# After a kill the next command puts everything right, and then there is the old or the new.
settle() {
    local rows found row old new answers
    "$DMSNAP" -q repair vg >"/tmp/said.$letter" 2>&1 || { cat "/tmp/said.$letter"; fail "repair after a kill of: ${command[*]}"; }
    [ -z "$copy$source" ] || eventually 60 nothing_behind $letter
    # Of copies that differ lvm2 warns: somebody else may have been killed meanwhile, and nobody has come after that one yet. What the
    # others have under way looks as it may.
    mapfile -t answers < <(lvs "${columns[@]}" 2>/dev/null | sed -n "/^ *$letter/p")
    rows_of "${answers[@]}"
    mine $letter
    text_of wanted
    new=$text
    text_of volumes
    old=$text
    old_or_new $letter "$found" "$old" "$new" || fail "killed: ${command[*]}: there is '$found', and not '$old' or '$new'"
    wanted=()
    for row in $found; do wanted[${row%%:*}]=${row#*:}; done
}

# A command that makes sense, in `command`, and what will be there behind it, in `wanted`; none if it makes no sense now.
draw() {
    local name=$letter$number own=() snapshots=() on_origin=0 each victim='' size=0
    local kinds=(make make cut_origin cut_origin cut_own cut_own cut_both cut_across grow grow_store rename uncut remove switch scribble
        scribble roll_back roll_back)
    # Debian's kernel, in the guest with two processors, cannot fill behind.
    [ ! -e "$RESULTS/clones" ] || kinds+=(restore clone)
    for each in "${!volumes[@]}"; do
        case ${volumes[$each]} in
            ::*) own+=("$each") ;;
            origin:*) snapshots+=("$each") on_origin=$((on_origin + 1)) ;;
            *) snapshots+=("$each") ;;
        esac
    done
    [ ${#own[@]} = 0 ] || victim=${own[RANDOM % ${#own[@]}]} size=${volumes[$victim]##*:}
    kind=${kinds[RANDOM % ${#kinds[@]}]}
    $kind
}

# Both tools see a volume's node only while it is active.
is_active() { [ -e "/dev/vg/$1" ]; }
sum() { dd "if=/dev/vg/$1" iflag=direct bs=64k count=4 status=none | md5sum; }

# What was to be as `source` was is so, if it has happened.
shows() {
    [ -n "${wanted[$copy]-}" ] && is_active "$copy" || return 0
    case $kind in roll_back) [ -z "${wanted[$source]-}" ] || return 0 ;; esac
    equal "the begin of $copy after: ${command[*]}" "$wanted_sum" "$(sum "$copy")"
}

# A snapshot in each of two groups, or none in either; the other one has served then.
twins() {
    local there='' here=''
    "$DMSNAP" -q repair vh >"/tmp/said.$letter" 2>&1 || { cat "/tmp/said.$letter"; fail "repair of the other group after: ${command[*]}"; }
    ! "$DMSNAP" snapshot list "vh/$twin" >/dev/null 2>&1 || there=there
    [ -z "${wanted[$twin]-}" ] || here=there
    equal "the snapshot in the other group after: ${command[*]}" "$here" "$there"
    [ -z "$there" ] || "$DMSNAP" -q snapshot remove "vh/$twin"
}

by() { # WORDS-OF-LVM2 WORDS-OF-DMSNAP
    if [ $letter = l ]; then read -ra command <<<"$1"; else read -ra command <<<"$DMSNAP -q $2"; fi
}

make() {
    [ ${#own[@]} -lt 4 ] || return 0
    size=$((1 + RANDOM % 4)) wanted[$name]=::$size
    by "lvcreate -q -y -n $name -L ${size}m vg" "volume create vg/$name --size ${size}M"
}

cut_origin() {
    [ $on_origin -lt 2 ] || return 0
    cut=$name wanted[$name]=origin::
    by "lvcreate -q -y -s -n $name -L 5m vg/origin" "snapshot create vg/origin --name $name"
}

cut_own() {
    [ -n "$victim" ] && [ ${#snapshots[@]} -lt 4 ] || return 0
    wanted[$name]=$victim::
    by "lvcreate -q -y -s -n $name -L 2m vg/$victim" "snapshot create vg/$victim --name $name --size 2M"
}

# lvm2 has no groups.
cut_both() {
    [ -n "$victim" ] && [ $letter != l ] && [ $on_origin -lt 2 ] || return 0
    cut=$name wanted[$name]=origin:: wanted[${name}g]=$victim::
    by '' "snapshot create vg/origin vg/$victim --name $name --name ${name}g"
}

# lvm2 knows nothing of instants in several groups.
cut_across() {
    [ $letter != l ] && [ $on_origin -lt 2 ] || return 0
    cut=$name twin=$name wanted[$name]=origin::
    by '' "snapshot create vg/origin vh/far --name $name --name $name"
}

# Stores are of no size here. One that can hold everything stays as it is; lvm2 calls that an error.
grow_store() {
    each=${snapshots[RANDOM % (${#snapshots[@]} + 1)]-}
    [ -n "$each" ] && [ $letter != l ] || return 0
    by '' "snapshot extend vg/$each --size +1M"
}

# Not more than a snapshot's store has room for.
scribble() {
    [ -n "$victim" ] && is_active $victim || return 0
    command=(dd if=/dev/urandom "of=/dev/vg/$victim" oflag=direct conv=notrunc bs=64k "seek=$((RANDOM % 3))" count=2 status=none)
}

# What lvm2 merges it merges behind.
roll_back() {
    local undo=''
    copied_from || return 0
    unset "wanted[$source]"
    copy=$victim
    [ $((RANDOM % 2)) = 0 ] || undo="--undo $name" wanted[$name]=$victim::
    by '' "snapshot rollback vg/$source --merge --wait $undo"
}

restore() {
    copied_from && [ ${#own[@]} -lt 5 ] || { source=''; return 0; }
    copy=$name wanted[$name]=::$size
    by '' "snapshot restore vg/$source --to vg/$name --size ${size}M --wait"
}

clone() {
    [ -n "$victim" ] && [ $letter != l ] && is_active $victim && [ ${#own[@]} -lt 5 ] || return 0
    source=$victim copy=$name wanted[$name]=::$size
    by '' "volume clone vg/$victim --to vg/$name --wait"
}

# An active snapshot of a volume of its own, in `source`; the volume is the victim.
copied_from() {
    local all=()
    for each in "${snapshots[@]}"; do
        [[ ${volumes[$each]} = origin:* ]] || ! is_active $each || all+=($each)
    done
    [ $letter != l ] && [ ${#all[@]} -gt 0 ] || return 1
    source=${all[RANDOM % ${#all[@]}]}
    victim=${volumes[$source]%%:*} size=${volumes[${volumes[$source]%%:*}]##*:}
}

# Under snapshots lvm2 does not extend.
grow() {
    [ -n "$victim" ] && [ $size -lt 8 ] || return 0
    [ $letter != l ] || [[ " ${volumes[*]} " != *" $victim:: "* ]] || return 0
    wanted[$victim]=::$((size + 1))
    by "lvextend -q -L +1m vg/$victim" "volume extend vg/$victim --size +1M"
}

rename() {
    [ -n "$victim" ] || return 0
    unset "wanted[$victim]"
    wanted[$name]=${volumes[$victim]}
    for each in "${!wanted[@]}"; do [[ ${wanted[$each]} != $victim::* ]] || wanted[$each]=$name::; done
    by "lvrename -q vg $victim $name" "volume rename vg/$victim $name"
}

uncut() {
    [ ${#snapshots[@]} -gt 0 ] || return 0
    victim=${snapshots[RANDOM % ${#snapshots[@]}]}
    unset "wanted[$victim]"
    by "lvremove -q -y vg/$victim" "snapshot remove vg/$victim"
}

remove() {
    [ -n "$victim" ] || return 0
    unset "wanted[$victim]"
    for each in "${!wanted[@]}"; do [[ ${wanted[$each]} != $victim::* ]] || unset "wanted[$each]"; done
    by "lvremove -q -y vg/$victim" "volume remove --with-snapshots vg/$victim"
}

# Nothing of it is on the disk: what follows finds volumes of which some are inactive.
switch() {
    [ -n "$victim" ] || return 0
    local lvm2=(-an -ay) ours=(deactivate activate) which=$((RANDOM % 2))
    by "lvchange -q ${lvm2[which]} vg/$victim" "${ours[which]} vg/$victim"
}
