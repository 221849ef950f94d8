# disks: 256M 256M

# A group that carries this host's system id can be used like any other. Its volumes are writable by a word of their own, which old
# versions of lvm2 do not know: new volumes of dmsnap have it, too.
printf 'global { system_id_source = "uname" }\n' >>/etc/lvm/lvm.conf
vgcreate -q vg /dev/ubda
lvcreate -q -y -n v -L 16M vg
dmsnap snapshot create vg/v --name s
lvm2_content vg
dmsnap vg create own /dev/ubdb
equal "the system id of a new group" guest "$(vgs --noheadings -o systemid own | tr -d ' ')"

for vg in vg own; do
    dmsnap volume create $vg/w --size 16M
    dmsnap snapshot create $vg/w --name read-only --size 8M --read-only
    dmsnap volume extend $vg/w --size +4M
    all_agree $vg
    equal "permissions in $vg" "w r" "$(reported $vg/w attr | cut -c 2) $(reported $vg/read-only attr | cut -c 2)"
done
written() { "$TOOLS/forge" show "$1" | grep -c "\"$2\"" || true; }
equal "words of dmsnap's" "0" "$(written /dev/ubdb WRITE)"
locked=$(written /dev/ubdb WRITE_LOCKED)
[ "$locked" -ge 3 ] || fail "only $locked are writable: not the group, a volume and a snapshot"
# lvm2 spells it so, too.
lvchange -q --addtag t own/w
equal "words of lvm2's" "0 $locked" "$(written /dev/ubdb WRITE) $(written /dev/ubdb WRITE_LOCKED)"
dmsnap snapshot remove own/read-only
dmsnap volume remove own/w
all_agree own

# The same for one that systemd derives from the machine's, which not every host has.
mkdir /run/etc
cp -a /etc/lvm /etc/group /etc/passwd /etc/ld.so.cache /run/etc
echo 0123456789abcdef0123456789abcdef >/run/etc/machine-id
mount --bind /run/etc /etc
dmsnap vg remove own
sed -i 's/"uname"/"appmachineid"/' /etc/lvm/lvm.conf
dmsnap vg create derived /dev/ubdb
id=$(lvm systemid | sed 's/.*system ID: *//')
[ -n "$id" ] || fail "lvm2 has no system id"
equal "the system id of a new group" "$id" "$(vgs --noheadings -o systemid derived | tr -d ' ')"
