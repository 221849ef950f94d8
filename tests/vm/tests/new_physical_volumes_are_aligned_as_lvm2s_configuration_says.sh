# disks: 64M 64M

layout() { pvs --noheadings --units b -o pe_start,pv_mda_size "$1" | tr -s ' '; }
for setting in 'data_alignment = 0' 'data_alignment = 64' 'data_alignment = 2048' 'default_data_alignment = 4'; do
    lvm_conf
    echo "devices { $setting }" >>/etc/lvm/lvm.conf
    pvcreate -q /dev/ubda
    dmsnap pv create /dev/ubdb
    equal "$setting" "$(layout /dev/ubda)" "$(layout /dev/ubdb)"
    pvremove -q /dev/ubda /dev/ubdb
done
