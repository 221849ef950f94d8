# udev: yes
# disks: 64M 64M

# Disks that appear: loop devices on top of the guest's own.
echo 'devices { types = ["ubd", 16] filter = ["a|^/dev/loop|", "r|.*|"] use_devicesfile = 0 }' >/etc/lvm/lvm.conf
appear() { losetup --direct-io=off "/dev/loop$1" "/dev/ubd$2"; udevadm settle; }
vanish() { losetup -d "/dev/loop$1"; udevadm settle; }
active() { dmsetup ls 2>/dev/null | grep -v 'No devices' | cut -f1 | sort | tr '\n' ' '; }

appear 1 a
appear 2 b
dmsnap vg create vg /dev/loop1 /dev/loop2
dmsnap volume create vg/one --size 8M --on /dev/loop1
dmsnap volume create vg/two --size 8M --on /dev/loop2
dmsnap snapshot create vg/one --name snap
dmsnap volume create vg/named --size 8M
lvchange -q --setautoactivation n vg/named
dmsnap deactivate vg
vanish 1
vanish 2

# lvm2 activates by itself here: dmsnap does not.
dmsnap activate --auto 2>&1 | grep 'lvm2 activates volumes here'
[ "$(dmsnap -o json activate --auto | jq '.volumes | length')" = 0 ]
mkdir -p /run/udev/rules.d
ln -s /dev/null /run/udev/rules.d/69-lvm.rules
make -s -C "$TOP" install BINARY="$DMSNAP" PREFIX=/run/dmsnap RULES=/run/udev/rules.d >/dev/null
udevadm control --reload

appear 1 a
equal "with one device of two" "" "$(active)"
dmsnap activate --auto 2>&1 | grep 'vg is left alone: 1 of its 2 physical volumes are missing'
appear 2 b
all="vg-one vg-one-real vg-snap vg-snap-cow vg-two "
equal "with both devices" "$all" "$(active)"
[ -L /dev/vg/one ] && [ -L /dev/vg/snap ]

# What is down stays down, whatever is written to the physical volumes.
dmsnap deactivate vg
dmsnap volume create vg/three --size 8M
dmsnap deactivate vg
udevadm settle
equal "after changes of the group" "" "$(active)"

# At boot, as the unit does it: twice is once; lvm2's list is obeyed.
dmsnap activate --auto
equal "at boot" "vg-one vg-one-real vg-snap vg-snap-cow vg-three vg-two " "$(active)"
kernel_state >/run/before
dmsnap activate --auto
diff /run/before <(kernel_state)
dmsnap deactivate vg
echo 'activation { auto_activation_volume_list = [ "vg/two", "other", "@site" ] }' >>/etc/lvm/lvm.conf
dmsnap activate --auto 2>&1 | grep 'vg/one is left alone: it is not in auto_activation_volume_list'
equal "of a list" "vg-two " "$(active)"
lvchange -q --addtag site vg/three
dmsnap activate --auto
equal "of a tag" "vg-three vg-two " "$(active)"

# The units are what systemd takes.
mkdir -p /run/units
for unit in "$TOP"/deploy/systemd/*; do
    sed 's#/usr/bin/dmsnap#/bin/true#' "$unit" >"/run/units/${unit##*/}"
    equal "systemd-analyze of ${unit##*/}" "" "$(systemd-analyze verify --man=no --recursive-errors=no "/run/units/${unit##*/}" 2>&1)"
done
