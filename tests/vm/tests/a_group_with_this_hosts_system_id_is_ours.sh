# disks: 256M 256M

printf 'global { system_id_source = "uname" }\n' >>/etc/lvm/lvm.conf
vgcreate -q vg /dev/ubda
lvcreate -q -y -n v -L 16M vg
dmsnap snapshot create vg/v --name s
lvm2_content vg
dmsnap vg create own /dev/ubdb
equal "the system id of a new group" guest "$(vgs --noheadings -o systemid own | tr -d ' ')"
