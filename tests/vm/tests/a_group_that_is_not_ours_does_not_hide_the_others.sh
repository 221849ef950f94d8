# disks: 256M 256M

vgcreate -q away /dev/ubda
lvcreate -q -an -Zn -y -n v -L 8M away
vgexport -q away
vgcreate -q here /dev/ubdb
lvcreate -q -an -Zn -y -n v -L 8M here
vgchange -q -ay || fail "lvm2 minds, too"
vgchange -q -an here
# "none named: all" cannot mean those that this host must not touch.
dmsnap check || fail "nothing differs, and check fails"
dmsnap activate || fail "all is active that can be, and activate fails"
kernel_state | grep '^here-v: ' || fail "here/v is not active"

# What a command that died while it renamed here/v would have left.
lvchange -q --addtag dmsnap.changing here/v
dmsnap repair || fail "all is repaired that can be, and repair fails"
equal "the tags of here/v" "" "$(reported here/v tags)"
lvchange -q --addtag dmsnap.changing here/v
fails_with 7 "away is exported" dmsnap repair away here
equal "the tags of here/v, named behind another group" "" "$(reported here/v tags)"
fails_with 7 "away is exported" dmsnap volume remove away/v here/v
lvm2_knows_not here/v || fail "here/v was not removed, for it was named behind another group's"
