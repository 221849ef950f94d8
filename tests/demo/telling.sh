# How the story is told: steps, commands as they are typed, and measurements.

slots=4096
PATH=$(dirname "$DMSNAP"):$PATH
unset -f dmsnap
measured=/tmp/measured
: >$measured

say() { printf '\n%s\n' "$*"; }

number=0
step() { # WORDS
    number=$((number + 1))
    printf '\n\n%d. %s\n' $number "$*"
}

run() { # COMMAND...
    printf '\n$ %s\n' "$*"
    "$@"
}

# The same for a line with redirections.
run_line() { # TEXT
    printf '\n$ %s\n' "$1"
    (eval "$1")
}

start_writer() { # FILE OPTION...
    local as=()
    [ "${load-}" != real-time ] || as=(chrt -f 10)
    rm -f /tmp/log /tmp/state
    "${as[@]}" "$TOOLS/writer" write "$@" --slots $slots --log /tmp/log --state /tmp/state >/tmp/summary &
    writer=$!
    eventually 30 test -s /tmp/log
}

stop_writer() {
    kill $writer
    wait $writer || fail "the writer failed"
    jq -r '"\nThe writer made \(.writes) writes: half of them within \(.median_ms) ms, 999 of 1000 within \(.p999_ms) ms, the longest took \(.longest_stall_ms) ms."' /tmp/summary
}

started() { "$TOOLS/writer" state /tmp/state started; }
acknowledged() { "$TOOLS/writer" state /tmp/state acknowledged; }

# Runs a command beside the writer; what it printed and what it was like can be asked for afterwards.
during() { # COMMAND...
    printf '\n$ %s\n' "$*"
    "$TOOLS/writer" during --log /tmp/log --report /tmp/report -- "$@" >/tmp/answer || fail "status $? from: $*"
    cat /tmp/answer
}

report() { jq ".$1" /tmp/report; }                       # KEY: of the last measurement
field() { jq "[.. | objects | .$1 // empty][0]" /tmp/answer; } # KEY: of the last command's JSON

# One turn of each tool.
lvm2-turn() {
    take lvm2-create lvcreate -q -s -n turn -L 64M lvm2vg/data
    take lvm2-remove lvremove -q -y lvm2vg/turn
}

dmsnap-turn() {
    take dmsnap-create dmsnap -o json snapshot create lvm2vg/data --name turn --size 64M
    take dmsnap-remove dmsnap snapshot remove lvm2vg/turn
}

# One command, into the table; the table shows the medians of the turns.
take() { # WHAT COMMAND...
    local what=$1 log=(--log /tmp/log) elapsed=null frozen=null
    shift
    [ $load != none ] || log=()
    sleep 0.3
    "$TOOLS/writer" during "${log[@]}" --report /tmp/report -- "$@" >/tmp/answer || fail "status $? from: $*"
    if [ "$what" = dmsnap-create ]; then
        elapsed=$(field elapsed_ms) frozen=$(field frozen_ms)
    fi
    jq -c --arg load "$load" --arg what "$what" --argjson elapsed "$elapsed" --argjson frozen "$frozen" \
        '{load: $load, what: $what, wall: .wall_ms, stall: .longest_stall_ms, elapsed: $elapsed, frozen: $frozen}' \
        /tmp/report >>$measured
}

# Words for jq: a column of the measurements, with a load or without, and what is made of it.
words='
    def median: map(select(. != null)) | sort | .[length / 2 | floor];
    def idle($what; $key): map(select(.what == $what and .load == "none") | .[$key]);
    def busy($what; $key): map(select(.what == $what and .load != "none") | .[$key]);
    def under($load; $what): map(select(.what == $what and .load == $load) | .stall);
    def part($of): if . > 0 then "1/\($of / . * 10 | round / 10)" else "nothing" end;
'

# The table of all turns: medians of the times, and the worst stall.
compare() {
    local row='%-23s %8s %8s %8s %8s %8s %8s %10s %10s\n' what
    printf "\n$row" '' 'wall' '' 'engine' '' 'frozen' '' 'longest stall' ''
    printf "$row" 'milliseconds' idle busy idle busy idle busy ordinary real-time
    for what in nothing lvm2-create dmsnap-create lvm2-remove dmsnap-remove; do
        # shellcheck disable=SC2046 # nine words
        printf "$row" "${names[$what]}" $(jq -rs --arg what $what "$words"'
            [ (idle($what; "wall") | median), (busy($what; "wall") | median),
              (idle($what; "elapsed") | median), (busy($what; "elapsed") | median),
              (idle($what; "frozen") | median), (busy($what; "frozen") | median),
              (under("ordinary"; $what) | median), (under("real-time"; $what) | median) ] | map(. // "-") | join(" ")' $measured)
    done
}

declare -A names=(
    [nothing]='nothing at all'
    [lvm2-create]='lvcreate -s'
    [dmsnap-create]='dmsnap snapshot create'
    [lvm2-remove]='lvremove'
    [dmsnap-remove]='dmsnap snapshot remove'
)

# The ratios that the last line names.
ratios() {
    jq -rs "$words"'
        (idle("lvm2-create"; "wall") | median) as $idle | (busy("lvm2-create"; "wall") | median) as $busy
        | (busy("lvm2-create"; "stall") | median) as $stall
        | "its snapshot took \(busy("dmsnap-create"; "wall") | median | part($busy)) of the time"
        + " (\(busy("dmsnap-create"; "elapsed") | median | part($busy)) by the engine\u0027s own clock;"
        + " idle \(idle("dmsnap-create"; "wall") | median | part($idle)) and \(idle("dmsnap-create"; "elapsed") | median | part($idle)))"
        + " and its longest stall \(busy("dmsnap-create"; "stall") | median | part($stall)) of lvm2\u0027s"
        ' $measured
}
