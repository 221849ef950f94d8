# disks: 64M 64M
# timeout: 180

# Legs of an array whose superblock is at the end show what the array holds. The physical volume is found once, where lvm2 finds it,
# and no leg is opened, let alone for writing.
. "$TOP/tests/vm/legs.sh"
modprobe -q md-mod
modprobe -q raid1
lvm_conf '^/dev/md'
export MDADM_NO_UDEV=1

for version in 0.90 1.0; do
    mdadm --create /dev/md0 --run --assume-clean --metadata=$version --level=1 --raid-devices=2 /dev/ubda /dev/ubdb
    vgcreate -q vg /dev/md0
    equal "label on a leg" LABELONE "$(dd if=/dev/ubda bs=512 skip=1 count=1 status=none | head -c 8)"
    found_at /dev/md0 '/dev/ubd[ab]'
    changed '/dev/ubd[ab]'
    fails_with 6 "held by /dev/md0" dmsnap pv create /dev/ubda

    # One leg fails and is nobody's now.
    mdadm -q /dev/md0 --fail /dev/ubdb --remove /dev/ubdb
    equal "physical volumes" /dev/md0 "$(dmsnap -q -o json pv list | jq -r '[.pvs[].device] | join(" ")')"

    # Without the array there is no physical volume.
    dmsnap deactivate vg
    mdadm -q --stop /dev/md0
    before=$(disk_sum)
    equal "lvm2's physical volumes" "" "$(pvs --noheadings -o name 2>/dev/null | xargs)"
    dmsnap pv list 2>&1 | tee /run/said
    equal "legs that are passed over" 2 "$(grep -c 'is passed over: it is a part of an md array' /run/said)"
    fails_with 3 "no volume group vg" dmsnap volume list vg
    fails_with 7 "" dmsnap pv create /dev/ubda
    equal "the disks" "$before" "$(disk_sum)"

    mdadm -q --assemble --run /dev/md0 /dev/ubda
    dmsnap activate vg
    cmp -n 4M /run/content /dev/vg/w
    dmsnap check vg
    dmsnap volume remove vg/w
    dmsnap vg remove vg
    mdadm -q --stop /dev/md0
    mdadm --zero-superblock /dev/ubda /dev/ubdb
    for disk in /dev/ubda /dev/ubdb; do dd if=/dev/zero of=$disk bs=1M oflag=direct status=none || true; done
done
