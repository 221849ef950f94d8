# disks: 64M 32M
# timeout: 180

. "$TOP/tests/vm/refusals.sh"
# Extents of 4 KiB, so that a store may be asked for that is below three chunks.
vgcreate -q -s 4k fine /dev/ubdb
lvcreate -q -y -n origin -L 4M fine
small_world /dev/ubda

for size in 0 0G; do
    refused 2 size snapshot create vg/origin --name s "--size=$size"
    refused 2 size volume create vg/v "--size=$size"
done
for size in -4M +4M 1X x '' 4M4 1..5M 99999999999999999999G; do
    refused 2 "$size" snapshot create vg/origin --name s "--size=$size"
    refused 2 "$size" volume create vg/v "--size=$size"
done
refused 2 "" volume create vg/v

# A store holds its header, one area of metadata and one chunk of data at least.
refused 2 fine snapshot create fine/origin --name s --size 8k --chunk-size 4k
refused 2 fine snapshot create fine/origin --name s --size 128k --chunk-size 64k

for chunk in 0 5k 3 12k 96k 65535b x; do
    refused 2 chunk snapshot create vg/origin --name s --size 8M --chunk-size "$chunk"
done

# Full: 12 MiB are free. Two that fit one by one but not together are both refused.
refused 5 vg snapshot create vg/origin --name s
refused 5 vg snapshot create vg/origin --name s --size 16M
refused 5 vg snapshot create vg/origin vg/plain --name s --name t --size 8M
refused 5 vg volume create vg/v --size 16M
refused 5 vg volume create vg/v --size 1T
refused 2 "" volume create vg/v --size 8M --stripes 0

unchanged
all_agree vg
all_agree fine
