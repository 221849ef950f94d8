# disks: 256M 256M 256M

vgcreate -q vg /dev/ubda
# The filter sees every name of a device.
mkdir -p /dev/disk/by-id
ln -s /dev/ubdc /dev/disk/by-id/third
lvm_conf
sed -i 's#"a|^/dev/ubd|"#"a|^/dev/ubda$|", "a|/by-id/third$|"#' /etc/lvm/lvm.conf
fails_with 7 "/dev/ubdb is rejected by devices/filter in lvm.conf" dmsnap pv create /dev/ubdb
fails_with 7 "/dev/ubdb is rejected by devices/filter in lvm.conf" dmsnap vg extend vg /dev/ubdb
dmsnap vg extend vg /dev/ubdc
lvm2_content vg
vgreduce -q vg /dev/ubdc
pvremove -q /dev/ubdc

# A pattern that LVM2 could not use either.
lvm_conf
printf 'devices { filter = [ "a|(|" ] }\n' >/etc/lvm/lvmlocal.conf
fails_with 2 'bad pattern "a|(|" in devices/filter' dmsnap vg list
rm /etc/lvm/lvmlocal.conf

# The devices file counts instead of the filter, once it is there.
sed -i 's/use_devicesfile = 0/use_devicesfile = 1/' /etc/lvm/lvm.conf
truncate -s 64M /run/disk
loop=$(losetup --find --show /run/disk)
mkdir -p /etc/lvm/devices
lvm lvmdevices -y --adddev /dev/ubda
lvm lvmdevices -y --adddev "$loop"
cat /etc/lvm/devices/system.devices
[ "$(pvs --noheadings -o name | tr -d ' ')" = /dev/ubda ] || fail "LVM2 sees $(pvs)"
dmsnap vg list vg
pvcreate -q --devicesfile "" --config 'devices { filter = [ "a|.*|" ] }' /dev/ubdb
fails_with 7 "/dev/ubdb is not in LVM2's devices file" dmsnap vg extend vg /dev/ubdb
dmsnap vg extend vg "$loop"
equal "devices of vg" 2 "$(vgs --noheadings -o pv_count vg | tr -d ' ')"
dmsnap vg reduce vg "$loop"
dmsnap pv remove "$loop"
lvm lvmdevices -y --deldev /dev/ubda
fails_with 3 "no volume group vg" dmsnap volume list vg
