# disks: 32M 32M 32M

# A group that lacks a device is listed and not changed. What lies on the rest can be activated, an origin whose snapshot's store is
# gone cannot: without the store its snapshot would silently be wrong. A device that comes back late is outdated and not free.
shut() { vgchange -q -an vg >/dev/null; }
lose() { dd if=$1 of=/run/lost iflag=direct bs=1M count=1 status=none; dd if=/dev/zero of=$1 oflag=direct bs=1M count=1 status=none; }
bring_back() { dd of=$1 if=/run/lost oflag=direct bs=1M count=1 status=none; }

vgcreate -q vg /dev/ubda /dev/ubdb /dev/ubdc
lvcreate -q -y -n origin -L 8M vg /dev/ubda
lvcreate -q -y -s -n snap -L 8M vg/origin /dev/ubdb
lvcreate -q -y -n other -L 8M vg /dev/ubda
shut

# The store's.
lose /dev/ubdb
fails_with 7 "lacks a physical volume" dmsnap volume create vg/x --size 4M
fails_with 7 "lacks a physical volume" dmsnap snapshot create vg/origin --name x --size 4M
fails_with 7 missing dmsnap activate vg/origin
fails_with 5 "Refusing activation of partial LV" lvchange -ay vg/origin
equal "devices" "No devices found" "$(dmsetup ls)"
dmsnap activate vg/other
dmsnap deactivate vg/other
dmsnap snapshot list vg
bring_back /dev/ubdb
dmsnap activate vg
all_agree vg
shut

# The origin's.
lose /dev/ubda
fails_with 7 missing dmsnap activate vg/origin
fails_with 7 missing dmsnap activate vg/snap
fails_with 5 "Refusing activation of partial LV" lvchange -ay vg/origin
equal "devices" "No devices found" "$(dmsetup ls)"
bring_back /dev/ubda
dmsnap activate vg
all_agree vg
shut

# lvm2 changes the group while a device is away, and it comes back: in use, it stays marked as missing.
lose /dev/ubdb
lvchange -q --addtag meanwhile vg/other
bring_back /dev/ubdb
vgs vg
before=$(disk_sum)
fails_with 7 "missing" dmsnap volume create vg/x --size 4M
equal "the disks" "$before" "$(disk_sum)"
vgextend -q --restoremissing vg /dev/ubdb
dmsnap volume create vg/x --size 4M
all_agree vg
shut

# It comes back when the group has gone on without it.
lose /dev/ubdc
vgreduce -q --removemissing vg
bring_back /dev/ubdc
equal "devices of the group" 2 "$(dmsnap -o json vg list vg | jq .vgs[0].pv_count)"
dmsnap volume create vg/y --size 4M
fails_with 7 "belongs to a volume group that cannot be read whole" dmsnap vg create new /dev/ubdc
fails_with 7 "belongs to a volume group that cannot be read whole" dmsnap vg extend vg /dev/ubdc
equal "devices of the group for lvm2" 2 "$(vgs --noheadings -o pv_count vg 2>/dev/null | tail -n 1 | tr -d ' ')"
