# disks: 256M 256M

vgcreate -q a /dev/ubda
vgcreate -q b /dev/ubdb
vgexport -q a
dmsnap volume create b/v --size 8M
DMSNAP_KILL_AT=16 "$DMSNAP" snapshot create b/v --name s && fail "it was not killed"
fails_with 1 b: dmsnap check
dmsnap repair || fail "the repair of all stops at the first group that is not ours"
dmsnap check b || fail "b is not repaired"
