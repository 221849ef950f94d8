# disks: 64M 64M 64M
# timeout: 180

. "$TOP/tests/vm/refusals.sh"
# Volumes that stand for parts of others.
modprobe -a dm-raid dm-mirror
vgcreate -q parts /dev/ubdb /dev/ubdc
lvcreate -q -y --type raid1 -m 1 --nosync -n mirrored -L 8M parts
vgchange -q -an parts # active, it would write on its own
small_world /dev/ubda

refused 2 vg/snap snapshot create vg/snap --name s
refused 2 vg/snap snapshot create vg/origin vg/snap --name s --name t --size 4M
refused 2 snapshot0 snapshot create vg/snapshot0 --name s
refused 2 mirrored_rimage_0 snapshot create parts/mirrored_rimage_0 --name s
refused 2 mirrored_rmeta_1 snapshot create parts/mirrored_rmeta_1 --name s

# In use.
refused 6 vg/origin volume remove vg/origin
refused 6 vg/origin volume remove vg/origin --with-snapshots
refused 6 vg/origin deactivate vg/origin
unchanged
mkdir snapshot
mount -o ro /dev/vg/snap snapshot
remember
refused 6 vg/snap snapshot remove vg/snap
refused 6 vg/snap deactivate vg/snap
unchanged
umount snapshot

all_agree vg
