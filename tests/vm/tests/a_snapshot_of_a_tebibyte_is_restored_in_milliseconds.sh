# disks: 3T
# timeout: 120

# The time is printed; that it does not grow with the size is seen by comparing.
echo 1 >/sys/module/dm_clone/parameters/clone_hydration_throttle
dmsnap vg create vg /dev/ubda
restore() { # SIZE
    local mark=/run/mark
    dmsnap -q volume create vg/db --size "$1"
    head -c 4096 /dev/urandom >$mark
    dd if=$mark of=/dev/vg/db bs=4k count=1 seek=$(($(blockdev --getsize64 /dev/vg/db) / 4096 - 1)) oflag=direct status=none
    dmsnap -q snapshot create vg/db --name a --size 64M
    echo "$1: usable after $(dmsnap -o json snapshot restore vg/a --to vg/copy | jq .elapsed_ms) ms"
    dmsetup message vg-copy 0 disable_hydration
    cmp $mark <(tail -c 4096 /dev/vg/copy) || fail "the end is not the snapshot's"
    lvm2_content vg
    dmsnap -q volume remove vg/copy
    dmsnap -q volume remove vg/db --with-snapshots
}
for size in 64M 1G 1T 64M 1G 1T; do restore $size; done
