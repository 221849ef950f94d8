# disks: 64M
# timeout: 120

. "$TOP/tests/vm/refusals.sh"
dmsnap vg create vg /dev/ubda
dmsnap volume create vg/origin --size 16M
remember

# Not root. The binary is put where everybody may execute it.
mkdir -m 755 /run/public
install -m 755 "$DMSNAP" /run/public/dmsnap
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups /run/public/dmsnap "$@"; }
fails_with 1 root as_nobody snapshot create vg/origin --name s
fails_with 1 root as_nobody volume create vg/v --size 4M
fails_with 1 root as_nobody pv create /dev/ubda
unchanged

# No module for snapshots, and none to be found.
rmmod dm_clone dm_snapshot 2>/dev/null || rmmod dm_snapshot
rm "/run/modules/lib/modules/$(uname -r)"
echo /bin/false >/proc/sys/kernel/modprobe
refused 1 snapshot snapshot create vg/origin --name s
! dmsetup targets | grep '^snapshot' || fail "the module came back"

# No way to device-mapper, not even one that could be made again.
mv /dev/mapper/control /dev/control
mount -t tmpfs -o ro none /dev/mapper
fails_with 1 /dev/mapper/control dmsnap snapshot create vg/origin --name s
fails_with 1 /dev/mapper/control dmsnap volume create vg/v --size 4M
fails_with 1 /dev/mapper/control dmsnap activate vg
umount /dev/mapper
mv /dev/control /dev/mapper/control
unchanged

# With everything back, it works.
ln -s "/usr/lib/uml/modules/$(uname -r)" "/run/modules/lib/modules/$(uname -r)"
echo /run/modules/modprobe >/proc/sys/kernel/modprobe
agreed vg snapshot create vg/origin --name s
