# disks: 256M

vgcreate -q vg /dev/ubda
lvcreate -q -y -n fixed -L 8M -My --minor 77 vg
lvchange -q -an vg/fixed
dmsnap activate vg/fixed || dmsetup ls # it may refuse what it does not build
number=$(dmsetup info -c --noheadings -o minor vg-fixed 2>/dev/null || true)
[ -z "$number" ] || equal "the minor number" 77 "$number"
lvchange -q -an vg/fixed || fail "lvm2 cannot deactivate what dmsnap activated"
