# Random commands of dmsnap and lvm2 at once on one volume group, above a writer, with processes killed at random; and the guest
# itself may be killed at any time and live again. Afterwards all that was acknowledged is there, and all else is old or new.
#
# Each worker has volumes whose names begin with its letter. It notes on the host, in the results directory, what there is of them
# ("is") and, before each command, what there will be ("may"): who comes back finds one or the other.
. "$TOP/tests/vm/afterwards.sh"
. "$TOP/tests/vm/worker.sh"

workers=(a b l) # a and b use dmsnap, l uses lvm2

# The test: until the guest is killed, or in its last life for so many seconds once the world is there.
live_on() { # SECONDS
    local until
    if [ -e "$RESULTS/ready" ]; then
        vanished
        judge
        echo "life $LIFE of $LIVES began well"
    else
        world
    fi
    until=$((SECONDS + $1))
    while [ "$LIFE" -lt "$LIVES" ] || [ $SECONDS -lt $until ]; do
        work
        judge
    done
    tally
}

world() {
    dd if=/dev/zero of=/dev/ubda bs=1M count=2 oflag=direct status=none
    dd if=/dev/zero of=/dev/ubdb bs=1M count=2 oflag=direct status=none
    dd if=/dev/zero of=/dev/ubdc bs=1M count=2 oflag=direct status=none
    dmsnap -q vg create vg --extent-size 1M /dev/ubda /dev/ubdb >/dev/null
    dmsnap -q volume create vg/origin --size 4M >/dev/null
    dmsnap -q vg create vh --extent-size 1M /dev/ubdc >/dev/null
    dmsnap -q volume create vh/far --size 4M >/dev/null
    "$TOOLS/writer" write /dev/vg/origin "${ring[@]}" --last 8192 --sync none --state /tmp/state >/tmp/writer
    sync /dev/vg/origin
    cp /tmp/state "$RESULTS/state"
    (cd "$RESULTS" && touch cuts "${workers[@]}" "${workers[@]/#/kinds.}")
    ! dmsetup targets | grep -q '^clone ' || touch "$RESULTS/clones"
    touch "$RESULTS/ready"
    last=8192
}

promised() { "$TOOLS/writer" state "$RESULTS/state" "$1"; }

# All workers and the writer for a few commands each.
work() {
    local worker jobs=()
    "$TOOLS/writer" write /dev/vg/origin "${ring[@]}" --direct --first $((last + 1)) --state "$RESULTS/state" --rest 20000 >/tmp/writer &
    writer=$!
    for worker in "${workers[@]}"; do
        worker $worker &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || fail "a worker failed"; done
    kill $writer
    wait $writer || fail "the writer failed"
}

# The guest was killed: snapshots of which nobody has heard since were cut before the last record that was started.
vanished() {
    local name number
    number=$(promised started)
    while read -r name; do echo "behind $name $number" >>"$RESULTS/cuts"; done < <(
        awk '$1 == "before" { open[$2] } $1 == "behind" { delete open[$2] } END { for (name in open) print name }' "$RESULTS/cuts")
}

# What must hold whenever nobody is at work.
judge() {
    local worker name what number is may found ends
    local -A before=() behind=()
    [ $((RANDOM % 2)) = 0 ] || twins_of_the_killed
    opened
    eventually 60 nothing_behind abl
    changed
    twins_of_the_killed
    for worker in "${workers[@]}"; do
        recall $worker
        mine $worker
        old_or_new $worker "$found" "$is" "$may" || fail "$worker has '$found', acknowledged was '$is', under way '$may'"
        note "$worker" is "$found"
    done
    records origin "$(promised acknowledged)" "$(promised started)"
    ends=$last
    while read -r what name number; do eval "$what[\$name]=\$number"; done <"$RESULTS/cuts"
    for name in "${!before[@]}"; do
        [[ " $rows" != *" $name:origin:"* ]] || records "$name" "${before[$name]}" "${behind[$name]}"
    done
    last=$ends
}

# In the other group there is nothing but what a killed worker has not come to remove: half of what there is here.
twins_of_the_killed() {
    local name
    dmsnap -q repair vh >/dev/null
    dmsnap -q activate vh >/dev/null
    for name in $(names snapshot vh); do
        lvs "vg/$name" >/dev/null 2>&1 || fail "the other group has $name, and this one has not"
        dmsnap -q snapshot remove "vh/$name"
    done
}

# The kernel merges and fills by itself, and who comes next ends what is done.
nothing_behind() { # LETTERS
    local all
    "$DMSNAP" -q repair vg >/dev/null || return
    all=$("$DMSNAP" -o json snapshot list vg && "$DMSNAP" -o json volume list vg) || return
    ! jq -e "(.snapshots // .volumes)[] | select(.merging or .state == \"filling\") | select(.name | test(\"^[$1]\"))" <<<"$all" >/dev/null
}

tally() {
    cat "${workers[@]/#/$RESULTS/}" "$RESULTS/cuts" | awk '{ count[$1]++ } END {
        printf "tally: %d commands in random order, %d commands killed, %d snapshots under writes\n",
            count["may"], count["killed"], count["before"] }'
    cat "$RESULTS"/kinds.* | sort | uniq -c | awk '{ printf "%s%d times %s", (NR == 1 ? "tally: " : ", "), $1, $2 } END { if (NR) print "" }'
}

note() { # WORKER WORD VOLUMES
    echo "$2 $3." >>"$RESULTS/$1"
}

# What a worker has noted last, in `is`, and what may have become of it, in `may`. A line without its end was not written.
recall() { # WORKER
    local word text
    is='' may=''
    [ ! -e "$RESULTS/$1" ] || while read -r word text; do
        [[ $text == *. ]] || continue
        text=${text%.}
        case $word in
            is) is=$text may=$text ;;
            may) may=$text ;;
        esac
    done <"$RESULTS/$1"
}

# Of `rows`, the volumes of a worker, without the sizes of snapshots, in `found`.
mine() { # WORKER
    local row
    found=
    for row in $rows; do
        [[ $row == $1* ]] || continue
        [[ $row =~ ^[^:]*::[^:]*: ]] || row=${row%:*}:
        found+="$row "
    done
}

# Of lvm2 a command that is killed may leave something between the two, of the same names.
old_or_new() { # WORKER FOUND OLD NEW
    local row
    [ "$2" != "$3" ] && [ "$2" != "$4" ] || return 0
    [ "$1" = l ] || return 1
    for row in $2; do [[ " $3$4" == *" ${row%%:*}:"* ]] || return 1; done
}
