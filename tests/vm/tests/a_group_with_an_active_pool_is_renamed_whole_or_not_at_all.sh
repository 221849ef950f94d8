# disks: 256M

vgcreate -q vg /dev/ubda
lvcreate -q -y --type thin-pool -n pool -L 32M vg
lvcreate -q -y -n thin -V 16M --thinpool pool vg
lvchange -q -an vg/thin
lvchange -q -ay vg/pool
dmsetup ls
dmsnap vg rename vg new || { equal "the group" vg "$(vgs --noheadings -o name | tr -d ' ')"; exit 0; }
equal "devices that bear the old name" "" "$(dmsetup ls | grep '^vg-' || true)"
