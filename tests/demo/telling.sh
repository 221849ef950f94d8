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
    [ "${priority-}" != real-time ] || as=(chrt -f 10)
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

# One command, into the table.
take() { # WHAT COMMAND...
    local what=$1 elapsed=null frozen=null
    shift
    sleep 0.3
    "$TOOLS/writer" during --log /tmp/log --report /tmp/report -- "$@" >/tmp/answer || fail "status $? from: $*"
    if [ "$what" = dmsnap-create ]; then
        elapsed=$(field elapsed_ms) frozen=$(field frozen_ms)
    fi
    jq -c --arg priority "$priority" --arg what "$what" --argjson elapsed "$elapsed" --argjson frozen "$frozen" \
        '{priority: $priority, what: $what, wall: .wall_ms, stall: .longest_stall_ms, elapsed: $elapsed, frozen: $frozen}' \
        /tmp/report >>$measured
}

# The table of all turns: medians of the times, and the worst stall of all turns.
compare() {
    printf '\n%-24s %12s %12s %12s %26s\n' '' 'wall time' 'engine' 'frozen' 'longest stall of a write'
    printf '%-24s %12s %12s %12s %13s %12s\n' 'milliseconds' 'median' 'median' 'median' 'ordinary' 'real-time'
    jq -rs '
        def median: map(select(. != null)) | sort | if length == 0 then null else .[length / 2 | floor] end;
        def worst($priority): map(select(.priority == $priority) | .stall) | max;
        group_by(.what) | sort_by(.[0].what | ["nothing", "lvm2-create", "dmsnap-create", "lvm2-remove", "dmsnap-remove"] as $order
            | . as $what | $order | index($what)) | .[]
        | [ .[0].what, (map(.wall) | median), (map(.elapsed) | median), (map(.frozen) | median), worst("ordinary"), worst("real-time") ]
        | map(. // "-") | @tsv' $measured |
        while IFS=$'\t' read -r what wall elapsed frozen ordinary realtime; do
            printf '%-24s %12s %12s %12s %13s %12s\n' "${names[$what]}" "$wall" "$elapsed" "$frozen" "$ordinary" "$realtime"
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
    jq -rs '
        def median: map(select(. != null)) | sort | .[length / 2 | floor];
        def column($what; $key): map(select(.what == $what) | .[$key]);
        def part($of): if . > 0 then "1/\($of / . * 10 | round / 10)" else "nothing" end;
        (column("lvm2-create"; "wall") | median) as $theirs
        | "its snapshot took \(column("dmsnap-create"; "wall") | median | part($theirs)) of the time"
        + " (\(column("dmsnap-create"; "elapsed") | median | part($theirs)) by the engine\u0027s own clock)"
        + " and its longest stall \((column("lvm2-create"; "stall") | max) as $stall | column("dmsnap-create"; "stall") | max | part($stall)) of lvm2\u0027s"
        ' $measured
}
