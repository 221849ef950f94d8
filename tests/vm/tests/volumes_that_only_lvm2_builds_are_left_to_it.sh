# disks: 256M 256M

vgcreate -q vg /dev/ubda /dev/ubdb
lvcreate -q -y --type thin-pool -n pool -L 32M vg
lvcreate -q -y -n thin -V 16M --thinpool pool vg
lvcreate -q -y --type thin-pool -n empty -L 32M vg
lvcreate -q -y --type zero -n zero -L 16M vg
vgchange -q -an vg
before=$(disk_sum)

# Removing one of them by its own section alone leaves its parts behind, and a snapshot of one could never be activated.
fails_with 7 lvm2 dmsnap volume remove vg/empty
fails_with 7 lvm2 dmsnap volume remove vg/thin
fails_with 7 lvm2 dmsnap volume rename vg/empty bare
fails_with 7 lvm2 dmsnap snapshot create vg/pool --name s
fails_with 7 lvm2 dmsnap snapshot create vg/zero --name s
equal "the disks" "$before" "$(disk_sum)"
