# disks: 256M

# The kernel gives a device the number that the metadata has for it; dmsnap does not ask for one.
vgcreate -q vg /dev/ubda
lvcreate -q -y -n fixed -L 8M -My --minor 77 vg
lvchange -q -an vg/fixed
fails_with 7 "a device with a fixed number" dmsnap activate vg/fixed
dmsnap activate vg
equal "devices" "No devices found" "$(dmsetup ls)"
lvchange -q -ay vg/fixed
equal "the minor number" 77 "$(dmsetup info -c --noheadings -o minor vg-fixed)"
fails_with 7 "a device with a fixed number" dmsnap snapshot create vg/fixed --name snap
all_agree vg
