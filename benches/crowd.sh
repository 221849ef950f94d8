# disks: 6G
# memory: 1024M
# timeout: 1800

# Snapshots of many volumes at once, on disks whose flushes take about 20 ms: what operations gain that share their commits. The guest
# is slow and has one processor; what counts is the ratio. `crowd_strict.sh` fails where that is not worth it.

lvm_conf '^/dev/mapper/slow'

slow() { # NUMBER
    # The first sectors stay free: the disk itself shall not look like a physical volume.
    local sectors=$((600 * 2048)) from=$((600 * 2048 * $1 + 2048))
    dmsetup create "slow$1" --table \
        "0 $sectors delay /dev/ubda $from 0 /dev/ubda $from 0 /dev/ubda $from 2"
    dmsetup mknodes "slow$1"
    dmsnap vg create "vg$1" "/dev/mapper/slow$1" --extent-size 1M >/dev/null
}

for number in {0..9}; do slow "$number"; done
"$TOOLS/crowd" ${strict-} v 64 vg0 | tee /run/table
"$TOOLS/crowd" ${strict-} v 16 vg{1..8} | tee -a /run/table
"$TOOLS/crowd" --mounted v 64 vg9 | tee -a /run/table
umount /run/crowd/*
for number in {0..9}; do dmsnap check "vg$number"; done
vgck
kernel_at_rest
echo "In the guest, at once:"
cat /run/table
