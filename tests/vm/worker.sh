# One of those who work at once: see workers.sh. Its volumes are in `volumes`, by name: ORIGIN:TAGS:MIB, without size if it has an origin.

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
    local name command=() status=0 cut=''
    # Each step is at least two lines in the notes: so a name is never given twice.
    number=$((number + 1))
    while [ ${#command[@]} = 0 ]; do
        wanted=()
        for name in "${!volumes[@]}"; do wanted[$name]=${volumes[$name]}; done
        draw
    done
    text_of wanted
    note "$letter" may "$text"
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
    # Of copies that differ lvm2 warns: somebody else may have been killed meanwhile, and nobody has come after that one yet.
    mapfile -t answers < <(lvs "${columns[@]}" 2>/dev/null)
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
    local kinds=(make make cut_origin cut_origin cut_own cut_both grow rename uncut remove switch)
    for each in "${!volumes[@]}"; do
        case ${volumes[$each]} in
            ::*) own+=("$each") ;;
            origin:*) snapshots+=("$each") on_origin=$((on_origin + 1)) ;;
            *) snapshots+=("$each") ;;
        esac
    done
    [ ${#own[@]} = 0 ] || victim=${own[RANDOM % ${#own[@]}]} size=${volumes[$victim]##*:}
    "${kinds[RANDOM % ${#kinds[@]}]}"
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
    by "lvcreate -q -y -s -n $name -L 5m vg/$victim" "snapshot create vg/$victim --name $name"
}

# lvm2 has no groups.
cut_both() {
    [ -n "$victim" ] && [ $letter != l ] && [ $on_origin -lt 2 ] || return 0
    cut=$name wanted[$name]=origin:: wanted[${name}g]=$victim::
    by '' "snapshot create vg/origin vg/$victim --name $name --name ${name}g"
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
