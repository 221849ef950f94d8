# disks: 256M 256M 256M

lvm_conf '^/dev/mapper/'
vgcreate -q vg /dev/ubda
# One mapping that is suspended, and one that is not but lies on one that is.
dmsetup create asleep --table "0 262144 linear /dev/ubdb 0"
dmsetup create below --table "0 262144 linear /dev/ubdc 0"
dmsetup create above --table "0 262144 linear /dev/mapper/below 0"
dmsetup suspend --nolockfs --noflush asleep
dmsetup suspend --nolockfs --noflush below
sed -i 's#"a|^/dev/ubd|"#"a|^/dev/ubda$|"#' /etc/lvm/lvm.conf
began=$SECONDS
# What waits for the dead device cannot be ended before it answers: the work is done all the same.
"$DMSNAP" volume create vg/v --size 8M >/run/created 2>&1 &
create=$!
"$DMSNAP" pv list >/run/listed 2>&1 &
list=$!
eventually 30 grep -q '^vg *v ' /run/created
eventually 5 grep -q '^/dev/ubda' /run/listed
grep 'asleep is suspended, for 10 s' /run/listed || fail "$(cat /run/listed)"
grep 'above does not answer, for 10 s' /run/listed || fail "$(cat /run/listed)"
[ $((SECONDS - began)) -lt 40 ] || fail "it took $((SECONDS - began)) s"
dmsetup resume below
wait $create || fail "$(cat /run/created)"
wait $list || fail "$(cat /run/listed)"
# A device that wakes up in time is waited for.
( sleep 2; dmsetup resume asleep ) &
dmsnap vg list vg
wait
