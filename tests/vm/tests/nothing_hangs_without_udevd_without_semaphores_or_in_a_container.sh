# Test 29 of those that an independent implementation must pass. A command that hangs is killed here, and so is the guest.
# udev: yes
# disks: 256M

once() { timeout -s KILL 40 "$DMSNAP" "$@" >/dev/null || fail "status $?: dmsnap $*"; }

# All that makes or takes away devices.
all_commands() { # WHERE
    echo "--- $1"
    once volume create vg/o --size 8M
    once snapshot create vg/o --name s
    [ /dev/vg/o -ef /dev/mapper/vg-o ] && [ /dev/vg/s -ef /dev/mapper/vg-s ] || fail "$1: there are no paths"
    head -c1 /dev/vg/s >/dev/null
    once volume rename vg/o p
    [ -b /dev/vg/p ] && [ ! -e /dev/vg/o ] || fail "$1: paths after a rename"
    once deactivate vg
    once activate vg
    once check vg
    kernel_at_rest
    once snapshot remove vg/s
    once volume remove vg/p
    [ ! -e /dev/vg/p ] && [ ! -e /dev/mapper/vg-p ] || fail "$1: paths are left"
    equal "$1: devices that are left" "No devices found" "$(dmsetup ls)"
}

once vg create vg /dev/ubda
all_commands "with udevd"

read -r semaphores </proc/sys/kernel/sem
echo "32000 1024000000 500 0" >/proc/sys/kernel/sem
! ipcmk -S 1 2>/dev/null || fail "there are semaphores"
all_commands "without semaphores"
echo "$semaphores" >/proc/sys/kernel/sem

# Of a container: its own /dev, semaphores and processes, no /run/udev, nothing of sysfs that could be written.
export -f once all_commands fail equal kernel_at_rest
unshare --mount --ipc --pid --fork --propagation private bash -Eeuo pipefail -c '
    mkdir /tmp/dev /tmp/dev/mapper
    for node in null zero full random urandom tty ubda mapper/control; do cp -a "/dev/$node" "/tmp/dev/$node"; done
    ln -s /proc/self/fd /tmp/dev/fd
    mount --bind /tmp/dev /dev
    mount -t tmpfs tmpfs /run/udev
    mount -o remount,ro,bind /sys
    mount -t proc proc /proc
    all_commands "in a container"
' || fail "in a container"

# One that died without taking its socket along.
kill -KILL "$(pgrep -o systemd-udevd)" || true
sleep 0.1
[ -e /run/udev/control ]
all_commands "with a dead udevd"
rm -r /run/udev
all_commands "without udevd"
export DM_DISABLE_UDEV=1
lvm_conf
lvm2_content vg
