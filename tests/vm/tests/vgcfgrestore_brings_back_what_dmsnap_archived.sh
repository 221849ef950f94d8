# disks: 256M 256M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/v --size 8M
dmsnap volume create vg/w --size 8M
ls -l /etc/lvm/archive /etc/lvm/backup
vgcfgrestore -l vg | tee /run/list
grep -q "Created \*before\* executing 'dmsnap volume create vg/w" /run/list || fail "it is not listed"
grep -q "Created \*after\* executing 'dmsnap volume create vg/w" /run/list || fail "the backup is not listed"

# The backup is of the newest version: LVM2 leaves it alone.
before=$(stat -c '%i %y' /etc/lvm/backup/vg)
vgs vg >/dev/null
vgck vg
lvs vg >/dev/null
equal "the backup" "$before" "$(stat -c '%i %y' /etc/lvm/backup/vg)"

last=$(ls /etc/lvm/archive/vg_*.vg | tail -n 1)
dmsnap deactivate
vgcfgrestore -y -f "$last" vg
equal "volumes" v "$(lvs --noheadings -o name vg | tr -d ' ')"
dmsnap volume create vg/x --size 8M
lvm2_content vg

# The next number of both tools is one higher.
lvcreate -q -an -Zn -y -n y -L 8M vg
dmsnap volume create vg/z --size 8M
numbers=$(ls /etc/lvm/archive | sed 's/^vg_//; s/-.*//' | sort)
equal "numbers" "$numbers" "$(sort -u <<<"$numbers")"

dmsnap vg rename vg other
[ ! -e /etc/lvm/backup/vg ] && [ -e /etc/lvm/backup/other ] || fail "backups: $(ls /etc/lvm/backup)"
dmsnap vg extend other /dev/ubdb
grep -q ubdb /etc/lvm/backup/other || fail "the new device is not in the backup"

# Not asked for, nothing is written.
printf 'backup { backup = 0 archive = 0 }\n' >>/etc/lvm/lvm.conf
before=$(ls -lR --time-style=full-iso /etc/lvm/archive /etc/lvm/backup)
dmsnap volume create other/q --size 8M
equal "the copies" "$before" "$(ls -lR --time-style=full-iso /etc/lvm/archive /etc/lvm/backup)"

# What cannot be written is no error.
lvm_conf
printf 'backup { backup_dir = "/proc/x" archive_dir = "/proc/x" }\n' >>/etc/lvm/lvm.conf
dmsnap volume create other/p --size 8M
