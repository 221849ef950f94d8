# disks: 64M
# timeout: 180

# Two paths to one disk, whole and in partitions: the physical volume is found once, where lvm2 finds it, and no path is opened. LVM2
# looks for paths among SCSI disks only.
. "$TOP/tests/vm/legs.sh"
modprobe -q dm-multipath
modprobe -q dm-round-robin
modprobe -q sd_mod
lvm_conf '^/dev/mapper/mpath' '^/dev/sd'

modprobe scsi_debug dev_size_mb=64 num_tgts=1 add_host=2
eventually 10 test -b /dev/sdb
number() { stat -c %Hr:%Lr "$1"; }
# A partition table with one partition, from sector 2048, of 129024 sectors.
{
    head -c 446 /dev/zero
    printf '\0\0\0\0\x8e\0\0\0\x00\x08\0\0\x00\xf8\x01\0'
    head -c 48 /dev/zero
    printf '\x55\xaa'
} | dd of=/dev/sda oflag=direct bs=512 iflag=fullblock status=none
blockdev --rereadpt /dev/sda /dev/sdb
eventually 10 test -b /dev/sdb1
sectors=$(blockdev --getsz /dev/sda)
dmsetup create mpatha --uuid mpath-test \
    --table "0 $sectors multipath 0 0 1 1 round-robin 0 2 1 $(number /dev/sda) 1 $(number /dev/sdb) 1"
dmsetup create mpatha1 --uuid part1-mpath-test --table "0 129024 linear $(number /dev/mapper/mpatha) 2048"
vgcreate -q vg /dev/mapper/mpatha1
equal "label on a path" LABELONE "$(dd if=/dev/sdb1 bs=512 skip=1 count=1 iflag=direct status=none | head -c 8)"
found_at /dev/mapper/mpatha1 "/dev/sd.*"
changed "/dev/sd.*"
fails_with 6 "in use" dmsnap pv create /dev/sda1
dmsnap volume remove vg/w
dmsnap vg remove vg
dmsnap pv remove /dev/mapper/mpatha1
dmsetup remove mpatha1
dd if=/dev/zero of=/dev/mapper/mpatha bs=1M count=4 oflag=direct status=none

# Who opens a disk to write to it makes the kernel look at its partitions again.
dmsetup remove mpatha
blockdev --rereadpt /dev/sda /dev/sdb
dmsetup create mpatha --uuid mpath-test \
    --table "0 $sectors multipath 0 0 1 1 round-robin 0 2 1 $(number /dev/sda) 1 $(number /dev/sdb) 1"
vgcreate -q vg /dev/mapper/mpatha
found_at /dev/mapper/mpatha "/dev/sd.*"
changed "/dev/sd.*"
fails_with 6 "held by /dev/mapper/mpatha" dmsnap pv create /dev/sda
# Without it they are two of one identity.
dmsnap deactivate vg
dmsetup remove mpatha
fails_with 7 "there twice: /dev/sda, /dev/sdb" dmsnap volume create vg/x --size 4M
