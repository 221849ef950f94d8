# disks: 256M 256M

vgcreate -q vg /dev/ubda
lvcreate -q -an -Zn -y -n v -L 16M vg
printf 'global { metadata_read_only = 1 }\n' >>/etc/lvm/lvm.conf
before=$(disk_sum)
fails_with 7 "metadata_read_only" dmsnap volume create vg/w --size 8M
fails_with 7 "metadata_read_only" dmsnap volume create vg/w --size 8M --dry-run
fails_with 7 "metadata_read_only" dmsnap pv create /dev/ubdb
equal "the disks" "$before" "$(disk_sum)"
# What changes no metadata is allowed.
dmsnap activate vg/v
dmsnap volume list vg/v

printf 'global {\n  locking_dir "x"\n' >/etc/lvm/lvmlocal.conf
fails_with 2 "/etc/lvm/lvmlocal.conf is damaged: line 2, column 15" dmsnap vg list
rm /etc/lvm/lvmlocal.conf

lvm_conf
printf 'global { wait_for_locks = 0 }\n' >>/etc/lvm/lvm.conf
mkdir -p /run/lock/lvm
exec 9>>/run/lock/lvm/V_vg
flock 9
fails_with 8 "another process works on volume group vg" dmsnap volume create vg/w --size 8M
exec 9>&-
dmsnap -o json volume list vg >/dev/null

printf 'global { use_lvmlockd = 1 }\n' >>/etc/lvm/lvm.conf
fails_with 7 "lvmlockd" dmsnap vg create other /dev/ubdb
DMSNAP_LOCKING_DIR=/run/other dmsnap volume create vg/w --size 8M
[ -d /run/other ] || fail "dmsnap's own setting does not outweigh lvm2's"
