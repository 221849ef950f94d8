# disks: 256M

# Whoever reads a device when somebody has written to it (udev, monitors) has it open for a moment. LVM2 tries again for some
# seconds (activation/retry_deactivation) before it calls a volume in use.
dmsnap vg create vg /dev/ubda
open_for_a_moment() {
    (exec 9<"$1"; sleep 1.5) &
    sleep 0.2
}
dmsnap volume create vg/v --size 8M
open_for_a_moment /dev/vg/v
lvremove -q -y vg/v
dmsnap volume create vg/v --size 8M
open_for_a_moment /dev/vg/v
dmsnap volume remove vg/v || fail "nobody has it open for long"
