#!/bin/bash
# Makes the samples beside this file: runs as root in a guest with a real device-mapper, with lvm2 2.03.16 and six
# empty disks of 1 GiB (/dev/ubda to /dev/ubdf). Each sample is the committed text of one volume group as lvm2 wrote
# it into a metadata area. Usage: make.sh DIRECTORY
out=${1:-${SAMPLES:?}}
export DM_DISABLE_UDEV=1 LVM_SUPPRESS_FD_WARNINGS=1
disks="/dev/ubda /dev/ubdb /dev/ubdc /dev/ubdd /dev/ubde /dev/ubdf"

dump() { rm -f "$out/$1.vg"; pvck --dump metadata -f "$out/$1.vg" "${2:-/dev/ubda}" >/dev/null && chmod 644 "$out/$1.vg" && echo "sample $1: $(stat -c %s "$out/$1.vg") bytes"; }
clean() { vgchange -qan "$1"; vgremove -qff -y "$@" >/dev/null; for d in $disks; do dd if=/dev/zero of=$d bs=1M count=2 2>/dev/null; done; }

vgcreate -q vg-a $disks
dump empty
lvcreate -qy -Wn -L64M -n linear vg-a
lvcreate -qy -Wn -L64M -i2 -I64k -n striped vg-a
lvcreate -qy -Wn -L16M -n with-tags --addtag one --addtag 'k=v/w:x!y&z#1+2' vg-a
lvcreate -qy -Wn -L16M -pr -n read-only vg-a 2>/dev/null
vgchange -q --addtag vgtag vg-a
pvchange -q --addtag pvtag --addtag second /dev/ubdb
pvchange -qxn /dev/ubdf
lvchange -qy -ky vg-a/linear
lvextend -q -L+32M vg-a/linear
dump plain
clean vg-a

vgcreate -q vg0 /dev/ubda /dev/ubdb
lvcreate -qy -Wn -L64M -n db vg0
lvcreate -qy -Wn -L64M -i2 -n logs vg0
lvcreate -qy -s -L16M -n db-1 vg0/db
dump snapshot
lvcreate -qy -s -L32M -c 64k -pr -n db-2 --addtag nightly vg0/db
lvcreate -qy -s -L16M -n logs-1 vg0/logs
dump snapshots
vgchange -qan vg0
lvextend -q -L+16M vg0/db
lvconvert -qy --merge vg0/db-1
dump merging
clean vg0

vgcreate -q pool $disks
lvcreate -qy -L128M -T pool/thin
lvcreate -qy -V 256M -T pool/thin -n v1
lvcreate -qy --config "metadata/record_lvs_history=1" -s -n v1s pool/v1
lvcreate -qy --config "metadata/record_lvs_history=1" -s -n v1t pool/v1s
lvremove -qy --config "metadata/record_lvs_history=1" pool/v1s
dump thin
lvcreate -qy -Wn -L64M -n slow pool /dev/ubda
lvcreate -qy -L32M --type cache-pool -n fast pool /dev/ubdb
lvconvert -qy --type cache --cachepool pool/fast pool/slow
lvcreate -qy -Wn -L64M -n slow2 pool /dev/ubdc
lvcreate -qy -Wn -L32M -an -n fast2 pool /dev/ubdd
lvconvert -qy --type writecache --cachevol pool/fast2 pool/slow2
dump cache
clean pool

vgcreate -q r $disks
lvcreate -qy -Wn -L32M --type raid1 -m1 -n r1 r
lvcreate -qy -Wn -L32M --type raid5 -i2 -n r5 r
lvcreate -qy -Wn -L32M --type raid10 -i2 -m1 -n r10 r
lvcreate -qy -Wn -L32M --type mirror -m1 -n m1 r
lvcreate -qy -s -L16M -n r1s r/r1
dump raid
clean r

vgcreate -q --config 'global/system_id_source=uname' own /dev/ubda /dev/ubdb
lvcreate -qy -Wn --config 'global/system_id_source=uname' -L32M -n data own
lvcreate -qy --config 'global/system_id_source=uname' -s -L16M -n snap own/data
lvcreate -qy -Wn --config 'global/system_id_source=uname' -L16M -pr -n fixed own 2>/dev/null
dump system-id
vgchange -qan --config 'global/system_id_source=uname' own
vgremove -qff -y --config 'global/system_id_source=uname' own
for d in $disks; do dd if=/dev/zero of=$d bs=1M count=2 2>/dev/null; done

vgcreate -q -s 1M --metadatacopies 2 gone /dev/ubda /dev/ubdb
lvcreate -qy -Wn -L8M -n lv gone --profile thin-performance 2>/dev/null || lvcreate -qy -Wn -L8M -n lv gone
lvchange -q --metadataprofile thin-performance gone/lv
vgchange -qan gone
vgexport -q gone
dump exported
