# disks: 256M 256M 256M 256M

lvm_conf '^/dev/mapper/'
vgcreate -q vg /dev/ubda
# One mapping that is suspended, one that is not but lies on one that is, and one that takes its time.
dmsetup create asleep --table "0 262144 linear /dev/ubdb 0"
dmsetup create below --table "0 262144 linear /dev/ubdc 0"
dmsetup create above --table "0 262144 linear /dev/mapper/below 0"
dmsetup suspend --nolockfs --noflush asleep
dmsetup suspend --nolockfs --noflush below
sed -i 's#"a|^/dev/ubd|"#"a|^/dev/ubda$|"#' /etc/lvm/lvm.conf
# What the kernel says stands still is not touched: the commands end.
timeout -s KILL 60 "$DMSNAP" volume create vg/v --size 8M >/run/created 2>&1 || fail "$(cat /run/created)"
grep -q '^vg *v ' /run/created || fail "$(cat /run/created)"
# They are waited for once in a command, however many groups it looks at.
vgcreate -q vg2 /dev/ubdd --config 'devices/filter=["a|^/dev/ubdd$|","r|.*|"]'
sed -i 's#"a|^/dev/ubda$|"#"a|^/dev/ubd[ad]$|"#' /etc/lvm/lvm.conf
began=$SECONDS
timeout -s KILL 60 "$DMSNAP" check >/run/checked 2>&1 || fail "$(cat /run/checked)"
[ $((SECONDS - began)) -lt 19 ] || fail "it took $((SECONDS - began)) s"
grep 'asleep is suspended, for 10 s' /run/checked || fail "$(cat /run/checked)"
grep 'above lies on dm-[0-9]*, which is suspended, for 10 s' /run/checked || fail "$(cat /run/checked)"
dmsetup resume below
# A device that wakes up in time is waited for.
( sleep 2; dmsetup resume asleep ) &
dmsnap vg list vg
wait
# Of one that is silent nothing is known before; what waits for it ends when it answers, and the work is done meanwhile.
dmsetup remove above below
dmsetup create silent --table "0 262144 delay /dev/ubdc 0 15000"
"$DMSNAP" pv list >/run/listed 2>&1 &
eventually 14 grep -q '^/dev/ubda' /run/listed
wait $! || fail "$(cat /run/listed)"
grep 'silent does not answer, for 10 s' /run/listed || fail "$(cat /run/listed)"
