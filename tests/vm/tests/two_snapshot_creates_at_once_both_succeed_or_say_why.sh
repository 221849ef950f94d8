# disks: 512M 512M
# timeout: 240

dmsnap vg create vg /dev/ubda
dmsnap vg create other /dev/ubdb
dmsnap volume create vg/a --size 16M
dmsnap volume create vg/b --size 16M
dmsnap volume create other/c --size 16M
mkfs.ext4 -q /dev/vg/a
mkdir a
mount /dev/vg/a a

# Runs two commands at once; each makes the snapshot that it is named for, or fails with words and makes none.
at_once() { # SNAPSHOT COMMAND SNAPSHOT COMMAND
    local status pids=() names=("$1" "$3") commands=("$2" "$4") succeeded=0 i
    for i in 0 1; do
        ${commands[i]} >said.$i 2>&1 &
        pids+=($!)
    done
    for i in 0 1; do
        status=0
        wait "${pids[i]}" || status=$?
        echo "${commands[i]}: $status"
        if [ $status = 0 ]; then
            succeeded=$((succeeded + 1))
            equal "state of ${names[i]}" active "$(listed snapshot "${names[i]}" state)"
        else
            cat said.$i
            [ -s said.$i ] || fail "it failed without a word"
            lvm2_knows_not "${names[i]}" || fail "it failed and left ${names[i]}"
        fi
    done
    [ $succeeded -gt 0 ] || fail "neither succeeded"
    all_agree vg
    all_agree other
    for i in 0 1; do
        lvm2_knows_not "${names[i]}" || dmsnap snapshot remove "${names[i]}"
    done
    date +%N >a/still-writable
    sync -f a
}

create() { echo "$DMSNAP -q snapshot create vg/$1 --name $2 --size 8M"; }

for round in 1 2; do
    at_once vg/s1 "$(create a s1)" vg/s2 "$(create a s2)"
    at_once vg/s1 "$(create a s1)" vg/s2 "$(create b s2)"
    at_once vg/s1 "$(create a s1)" other/s2 "$DMSNAP -q snapshot create other/c --name s2 --size 8M"
    at_once vg/s1 "$(create a s1)" vg/s2 "lvcreate -q -s -n s2 -L 8M vg/a"
done

# The same name twice: one gets it, the other is told that it is taken.
$(create a twin) >said.0 2>&1 &
first=$!
second=0
$(create a twin) >said.1 2>&1 || second=$?
status=0
wait $first || status=$?
equal "the statuses" "0 4" "$(printf '%s\n' $status $second | sort | xargs)"
grep twin said.0 said.1 || fail "the name is not named"
all_agree vg
