# disks: 64M 16M 16M 16M 16M
# timeout: 180

. "$TOP/tests/vm/refusals.sh"
truncate -s 16M /tmp/file
still_ext4 /dev/ubdb
still_ext4 /dev/ubdc
mkdir mounted
mount -o noatime /dev/ubdc mounted
dmsetup create holder --table "0 8192 linear /dev/ubdd 0"
small_world /dev/ubda

# Each first alone, then behind a good device, which must not be touched either.
for good in '' /dev/ubde; do
    refused 2 /tmp/file pv create $good /tmp/file
    refused 2 /dev/null pv create $good /dev/null
    refused 2 /tmp pv create $good /tmp
    refused 3 /dev/nosuch pv create $good /dev/nosuch
    refused 7 /dev/ubdb pv create $good /dev/ubdb
    refused 6 /dev/ubdc pv create $good /dev/ubdc
    refused 6 /dev/ubdd pv create $good /dev/ubdd
    refused 6 /dev/ubda pv create $good /dev/ubda
    refused 2 /tmp/file vg create new $good /tmp/file
    refused 7 /dev/ubdb vg create new $good /dev/ubdb
    refused 6 /dev/ubdc vg create new $good /dev/ubdc
    refused 6 /dev/ubdd vg create new $good /dev/ubdd
done
refused 7 ext4 pv create /dev/ubdb
refused 4 vg vg create vg /dev/ubde
refused 2 'a b' vg create 'a b' /dev/ubde
refused 3 /dev/ubde inspect /dev/ubde
refused 3 /dev/nosuch inspect /dev/nosuch
refused 3 /dev/ubde volume create vg/v --size 4M --on /dev/ubde
unchanged

# The way out of a foreign signature.
fails_with 7 --wipe dmsnap vg create new /dev/ubdb
dmsnap vg create new /dev/ubdb --wipe
lvm2_content new
all_agree vg
