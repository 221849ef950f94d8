# disks: 128M 128M 128M

file=/etc/lvm/devices/system.devices
quiet_check() { # lvm2 finds nothing to correct
    local said status=0
    said=$(lvm lvmdevices --check 2>&1) || status=$?
    echo "$said"
    [ $status = 0 ] && [[ $said != *PVID* && $said != *warn* && $said != *WARN* && $said != *name* ]] ||
        fail "lvmdevices --check: $said"
    lvm2_content vg
}
entry() { # DEVICE KEY
    sed -nE "s/.* DEVNAME=${1//\//\\/} .*/&/p" $file | grep -oE "$2=[^ ]*" | cut -d= -f2-
}

lvm_conf '^/dev/loop'
sed -i 's/use_devicesfile = 0/use_devicesfile = 1/; /filter = /d' /etc/lvm/lvm.conf
mkdir -p ${file%/*}

# Where there is none, none is made: everything else would become invisible.
dmsnap pv create /dev/ubda
[ ! -e $file ] || fail "dmsnap made $file"
lvm lvmdevices -y --adddev /dev/ubda 2>&1

# New physical volumes are put into it, whatever identifies them.
truncate -s 64M /run/disk
loop=$(losetup --find --show /run/disk)
version=$(sed -n 's/^VERSION=//p' $file)
dmsnap vg create vg /dev/ubda /dev/ubdb
dmsnap vg extend vg "$loop"
cat $file
equal "version counted" "1.1.$((${version##*.} + 2))" "$(sed -n 's/^VERSION=//p' $file)"
equal "kind of the loop device" loop_file "$(entry "$loop" IDTYPE)"
equal "its file" /run/disk "$(entry "$loop" IDNAME)"
equal "uuid of ubdb" "$(pvs --noheadings -o uuid /dev/ubdb | tr -d ' -')" "$(entry /dev/ubdb PVID)"
quiet_check
lvm lvmdevices
# What lvm2 would write for the same devices is the same.
grep -v '^#\|^VERSION' $file | sort >/run/ours
lvm lvmdevices -y --deldev "$loop" >/dev/null
lvm lvmdevices -y --deldev /dev/ubdb >/dev/null
lvm lvmdevices -y --adddev /dev/ubdb >/dev/null
lvm lvmdevices -y --adddev "$loop" >/dev/null
grep -v '^#\|^VERSION' $file | sort | diff /run/ours -

# One that goes stays in it, without a physical volume.
dmsnap vg reduce vg "$loop"
dmsnap pv remove "$loop"
equal "PVID of a device that is none" . "$(entry "$loop" PVID)"
quiet_check
dmsnap vg extend vg "$loop"
quiet_check

# An entry that is a name only is good for its physical volume only: names change.
a=$(entry /dev/ubda PVID) b=$(entry /dev/ubdb PVID)
cp $file /run/right
sed -i "s#PVID=$a#PVID=x#; s#PVID=$b#PVID=$a#; s#PVID=x#PVID=$b#" $file
equal "devices of vg, their names exchanged" 3 "$(dmsnap -q -o json pv list | jq '[.pvs[] | select(.vg == "vg" and .state == "in_vg")] | length')"
sed -i "/DEVNAME=.dev.ubda/d" $file
fails_with 7 "lacks a physical volume" dmsnap volume create vg/new --size 4M
fails_with 7 "bears a physical volume that LVM2's devices file has not" dmsnap pv create --wipe /dev/ubdb
cp /run/right $file

# A physical volume that is not in it is somebody's, a blank device is not.
dmsnap pv create /dev/ubdc
lvm lvmdevices -y --deldev /dev/ubdc
fails_with 7 "/dev/ubdc is not in LVM2's devices file" dmsnap vg extend vg /dev/ubdc
fails_with 7 "/dev/ubdc is not in LVM2's devices file" dmsnap pv create --wipe /dev/ubdc
dd if=/dev/zero of=/dev/ubdc bs=4k count=1 status=none oflag=direct
dmsnap vg extend vg /dev/ubdc
quiet_check
