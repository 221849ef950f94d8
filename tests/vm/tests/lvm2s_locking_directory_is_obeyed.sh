# disks: 256M

printf 'global { locking_dir = "/run/elsewhere" }\n' >>/etc/lvm/lvm.conf
vgcreate -q vg /dev/ubda
# Whoever holds lvm2's lock keeps dmsnap out, and nothing else does.
exec 9>>/run/elsewhere/V_vg
flock 9
fails_with 8 "another process works on volume group vg" dmsnap --no-wait volume create vg/v --size 8M
exec 9>&-
dmsnap --no-wait volume create vg/v --size 8M
