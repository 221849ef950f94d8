# disks: 256M

printf 'global { locking_dir = "/run/elsewhere" }\n' >>/etc/lvm/lvm.conf
vgcreate -q vg /dev/ubda
# Whoever holds lvm2's lock keeps dmsnap out.
exec 9>>/run/elsewhere/V_vg
flock 9
fails_with 124 "" timeout 3 "$DMSNAP" volume create vg/v --size 8M
