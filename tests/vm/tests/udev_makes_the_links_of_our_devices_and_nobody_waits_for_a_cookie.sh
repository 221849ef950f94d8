# udev: yes
# disks: 256M
# timeout: 180

"$TOOLS/dm_smoke" /dev/ubda links merge failed-switch busy links
udevadm settle
equal "links left" "" "$(find /dev/mapper /dev/vg -type l 2>/dev/null || true)"
dmsetup udevcookies | grep -q 0x && fail "a semaphore is left"

# Rules of udev, but none for device-mapper: the links are ours.
mkdir -p /run/udev/rules.d
for rules in /lib/udev/rules.d/*dm*.rules /lib/udev/rules.d/*lvm*.rules; do
    ln -s /dev/null "/run/udev/rules.d/${rules##*/}"
done
udevadm control --reload
"$TOOLS/dm_smoke" /dev/ubda links links
