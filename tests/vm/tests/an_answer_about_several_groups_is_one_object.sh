# disks: 256M 256M

for vg in a b; do
    vgcreate -q $vg /dev/ubd$vg
    lvcreate -q -y -n v -L 8M $vg
    lvcreate -q -y -s -n s -L 8M $vg/v
done
one_object() {
    "$DMSNAP" -o json "$@" >answer || true
    equal "objects said by: $*" 1 "$(grep -c '^{' answer)"
}
cd /tmp
one_object snapshot remove a/s b/s
one_object repair a b
one_object volume remove a/v b/v
vgexport -q a
vgexport -q b
one_object activate
