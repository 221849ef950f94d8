# disks: 16M

# Both tools wait for the group's lock and for the one before it, `:aux`; a holder that is killed lets them in. A process that waits
# ends at once when it is interrupted, and has changed nothing.
vgcreate -q vg /dev/ubda
lvcreate -q -an -Zn -y -n v -L 4M vg
locks=/run/lock/lvm
mkdir -p $locks
before=$(disk_sum)

# Holds a lock file.
hold() { # FILE
    exec {held}>>"$locks/$1"
    flock -x $held
}
let_go() { exec {held}>&-; }
waits() { # PID
    [[ $(cat "/proc/$1/wchan" 2>/dev/null) == *flock* || $(cat "/proc/$1/stack" 2>/dev/null) == *flock* ]]
}

# Interrupts reach background processes only in jobs of their own.
set -m
for file in V_vg V_vg:aux; do
    for command in "$DMSNAP volume create vg/x --size 4M" "$DMSNAP check vg" "lvcreate -an -Zn -l 1 -n y vg"; do
        hold $file
        # The holder's file is not for them to inherit.
        $command {held}>&- >/run/said 2>&1 &
        waiter=$!
        eventually 10 waits $waiter
        kill -INT $waiter
        status=0
        wait $waiter || status=$?
        echo "$command: $status"
        [ $status != 0 ] || fail "$command went on with $file held"
        let_go
        equal "the disk after $command" "$before" "$(disk_sum)"
    done
done
set +m

# A holder dies.
flock -x $locks/V_vg sleep 60 &
holder=$!
held() { ! flock -n $locks/V_vg true; }
eventually 10 held
"$DMSNAP" volume create vg/x --size 4M &
waiter=$!
eventually 10 waits $waiter
kill -KILL $holder $(cat /proc/$holder/task/$holder/children)
wait $waiter
lvm2_content vg
equal "locks left" "" "$(ls $locks)"
