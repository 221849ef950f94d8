# disks: 256M 256M

vgcreate -q vg /dev/ubda /dev/ubdb
lvcreate -q -y --type thin-pool -n pool -L 32M vg
lvcreate -q -y -n thin -V 16M --thinpool pool vg
dmsnap volume create vg/plain --size 16M
dmsnap check vg

# A process dies; what it left is taken away without touching the pool.
pool=$(dmsetup table | grep ^vg-pool)
DMSNAP_KILL_AT=20 "$DMSNAP" snapshot create vg/plain --name s && fail "it was not killed"
dmsnap volume create vg/next --size 8M
equal "the pool's devices" "$pool" "$(dmsetup table | grep ^vg-pool)"
lvm2_content vg

# The same while the pool is active and no volume of it is.
lvchange -q -an vg/thin
DMSNAP_KILL_AT=20 "$DMSNAP" snapshot create vg/plain --name s && fail "it was not killed"
dmsnap volume create vg/more --size 8M
