# Test 29 of those that an independent implementation must pass: by-uuid leads to the origin.
# udev: yes
# disks: 256M

make -s -C "$TOP" install BINARY="$DMSNAP" PREFIX=/run/dmsnap RULES=/run/udev/rules.d >/dev/null
udevadm control --reload

# Every link that udev knows of, and where it leads.
links() {
    udevadm settle
    # Some of these directories go with their last link.
    {
        find /dev/mapper /dev/vg-0 /dev/disk/by-uuid /dev/disk/by-label /dev/disk/by-id -type l -printf '%p ' \
            -exec readlink -f {} \; 2>/dev/null || true
    } | sed -n '/\/dev\/dm-/p' | sort
}

# What udev itself knows, which is what units of systemd wait for.
known() {
    local device
    udevadm settle
    for device in /sys/block/dm-*; do
        udevadm info --query=property "$device" |
            grep -E '^(DM_(NAME|UUID|VG_NAME|LV_NAME|LV_LAYER|UDEV_.*_FLAG)|ID_FS_(TYPE|UUID|LABEL)|DEVLINKS)=' | grep -v 'DM_UDEV_DISABLE_LIBRARY' | sort
        # The order of links means nothing.
    done | sed -E '/^DEVLINKS=/ { s/=/ /; s/ /\n/g }' | sort
}

# A volume whose name has a hyphen, with a file system, and two snapshots.
dmsnap pv create /dev/ubda
dmsnap vg create vg-0 /dev/ubda
dmsnap volume create vg-0/a-b --size 32M
mkfs.ext4 -q -L here -U 11111111-2222-3333-4444-555555555555 /dev/vg-0/a-b
dmsnap snapshot create vg-0/a-b --name s-1
dmsnap snapshot create vg-0/a-b --name s2
uuid=/dev/disk/by-uuid/11111111-2222-3333-4444-555555555555

by_origin() { # WHOSE
    equal "by-uuid with rules of $1" "$(readlink -f /dev/vg-0/a-b)" "$(readlink -f $uuid)"
    equal "by-label with rules of $1" "$(readlink -f /dev/vg-0/a-b)" "$(readlink -f /dev/disk/by-label/here)"
}

# Takes all down and up again, and remembers what there is.
again() { # WHOSE
    dmsnap deactivate vg-0
    udevadm settle
    equal "links that are left with rules of $1" "" "$(links)"
    dmsnap activate vg-0
    links >"/run/links.$1"
    known >"/run/known.$1"
    by_origin "$1"
    # Events of others change nothing.
    udevadm trigger --action=change --subsystem-match=block
    equal "after a change" "$(<"/run/links.$1")" "$(links)"
    udevadm trigger --action=add --subsystem-match=block
    equal "after coldplug" "$(<"/run/links.$1")" "$(links)"
    equal "what udev knows after coldplug" "$(<"/run/known.$1")" "$(known)"
}

again lvm2
mask() { for rules; do ln -sf /dev/null "/run/udev/rules.d/$rules"; done; udevadm control --reload; }
mask 56-lvm.rules 69-lvm.rules
again dmsetup
mask 55-dm.rules 60-persistent-storage-dm.rules 95-dm-notify.rules
again dmsnap
cat /run/known.dmsnap
for whose in dmsetup dmsnap; do
    diff /run/links.lvm2 /run/links.$whose || fail "links differ with rules of $whose"
    diff /run/known.lvm2 /run/known.$whose || fail "udev knows something else with rules of $whose"
done
# The layers below have no link but their own name.
grep -q -- '-real' /run/links.dmsnap
! grep -E -- '(-real|-cow)' /run/links.dmsnap | grep -v ^/dev/mapper/ || fail "a hidden layer has links"

# Writes through a snapshot, and a snapshot more, do not move the names to it.
mkdir -p /mnt/s && mount /dev/vg-0/s-1 /mnt/s && touch /mnt/s/new && umount /mnt/s
dmsnap snapshot create vg-0/a-b --name s3
dmsnap snapshot remove vg-0/s-1
udevadm settle
by_origin dmsnap
[ ! -e /dev/vg-0/s-1 ] || fail "a removed snapshot has a link"
