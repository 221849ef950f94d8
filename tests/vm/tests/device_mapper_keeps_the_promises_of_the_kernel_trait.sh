# disks: 256M
# timeout: 180

"$TOOLS/dm_smoke" /dev/ubda frozen
"$TOOLS/dm_smoke" /dev/ubda round orphaned
"$TOOLS/dm_smoke" /dev/ubda names tables snapshot merge failed-switch failed-resume busy nodes many no-control

# Blocks of 512 and of 4096 bytes.
truncate -s 64M /tmp/disk
loop=$(losetup -f --show -b 4096 /tmp/disk)
"$TOOLS/dm_smoke" /dev/ubda transfers
"$TOOLS/dm_smoke" "$loop" transfers snapshot merge
losetup -d "$loop"

# A udevd that never answers: nothing waits for it for ever.
mkdir -p /run/udev
touch /run/udev/control
"$TOOLS/dm_smoke" /dev/ubda names merge failed-switch busy links links

chmod 666 /dev/ubda
fails_with 1 "run it as root" setpriv --reuid 65534 --clear-groups "$TOOLS/dm_smoke" /dev/ubda names
