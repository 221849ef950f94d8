# disks: 256M 256M

printf 'global { system_id_source = "uname" }\n' >>/etc/lvm/lvm.conf
vgcreate -q vg /dev/ubda
lvcreate -q -y -n v -L 16M vg
dmsnap snapshot create vg/v --name s
lvm2_content vg
dmsnap vg create own /dev/ubdb
equal "the system id of a new group" guest "$(vgs --noheadings -o systemid own | tr -d ' ')"

# The same for one that systemd derives from the machine's.
dmsnap vg remove own
sed -i 's/"uname"/"appmachineid"/' /etc/lvm/lvm.conf
dmsnap vg create derived /dev/ubdb
id=$(lvm systemid | sed 's/.*system ID: *//')
[ -n "$id" ] || fail "lvm2 has no system id"
equal "the system id of a new group" "$id" "$(vgs --noheadings -o systemid derived | tr -d ' ')"
