# udev: yes
# disks: 256M

vgcreate -q vg /dev/ubda
lvcreate -q -y -n origin -L 64M vg
for link in /dev/vg/origin /dev/mapper/vg-origin /dev/disk/by-id/dm-name-vg-origin; do
    equal "$link" /dev/dm-0 "$(readlink -f $link)"
    [ -L $link ] || fail "$link is not a link"
done
lvm2_content vg
