# The story that `make demo` tells: first a volume of dmsnap's own, then one that lvm2 made, beside lvm2 itself.
# disks: 1G 1G 1G
# memory: 768M
# timeout: 300

dmesg -n 1
. "$TOP/tests/demo/telling.sh"

say "This is a Linux $(uname -r) kernel in a process of its own, with three blank disks. What follows is real: real
device-mapper, real file systems, real lvm2. Nothing of it touches the machine that it runs on."

step "Two blank disks become physical volumes, in the format that lvm2 reads."
run dmsnap pv create /dev/ubda /dev/ubdb
run dmsnap pv list

step "They form a volume group, and a volume is cut out of it."
run dmsnap vg create vg0 /dev/ubda /dev/ubdb
run dmsnap volume create vg0/data --size 512M
run dmsnap volume list vg0

step "The volume gets a file system, and 64 MiB of files whose checksums we note."
run mkfs.ext4 -q /dev/vg0/data
mkdir -p /mnt/data /mnt/before
run mount /dev/vg0/data /mnt/data
mkdir /mnt/data/files
(cd /mnt/data/files && head -c 64M /dev/urandom | split -b 4M - part.)
run_line 'cd /mnt/data/files && sha256sum part.* > /tmp/sums && wc -l < /tmp/sums'

step "A program begins to write numbered records to the volume, each made safe with fdatasync, and does not stop."
start_writer /mnt/data/journal
sleep 1
echo "$(acknowledged) records are safe after a second."

step "A snapshot is made of the mounted volume, under that writer."
before=$(acknowledged)
during dmsnap -o json snapshot create vg0/data --name before
after=$(started)
say "The origin was suspended for $(field frozen_ms) ms, the engine worked for $(field elapsed_ms) ms. Of the $(report writes) writes
that went on meanwhile, the longest took $(report longest_stall_ms) ms, waiting for the disk and the only processor included."

step "Every file of the volume is overwritten, and the writer goes on."
for file in /mnt/data/files/part.*; do head -c 4M /dev/urandom >"$file"; done
sync
! run_line 'cd /mnt/data/files && sha256sum -c /tmp/sums 2>&1 >/dev/null' || fail "the files are as they were"

step "The snapshot still holds what was there: all files, and of the records everything that was safe before the cut, nothing begun after it."
run mount -o ro /dev/vg0/before /mnt/before
run_line 'cd /mnt/before/files && sha256sum --quiet -c /tmp/sums && echo all files are as they were'
found=$("$TOOLS/writer" verify /mnt/before/journal --slots $slots)
last=$(jq .last <<<"$found")
say "Safe before the command: record $before. Last one in the snapshot: $last. Begun when the command had returned: $after."
[ "$before" -le "$last" ] && [ "$last" -le "$after" ] || fail "the snapshot is not the volume at the cut"

step "What the snapshot costs can be seen while it fills."
run dmsnap snapshot list vg0

step "It is removed; its space is free again, and lvm2 finds nothing to complain about."
run umount /mnt/before
run dmsnap snapshot remove vg0/before
run dmsnap vg list
stop_writer
run dmsnap check vg0
lvm2_content vg0
kernel_at_rest
run lvs vg0
umount /mnt/data

step "Now a volume group that lvm2 made, on the third disk."
run vgcreate -q lvm2vg /dev/ubdc
run lvcreate -q -y -n data -L 512M lvm2vg
run mkfs.ext4 -q /dev/lvm2vg/data
run mount /dev/lvm2vg/data /mnt/data

step "dmsnap snapshots it as well, and lvm2 lists what it made."
run dmsnap snapshot create lvm2vg/data --name seen --size 64M
run lvs -a lvm2vg
run dmsnap snapshot remove lvm2vg/seen
lvm2_content lvm2vg

step "Both tools make and remove a snapshot in turns, 64 MiB of store each: while nothing else runs, then while a program writes
   past the page cache, at an ordinary priority and at a real-time one, which waits for the disk but not for the processor."
for load in none ordinary real-time; do
    [ $load = none ] || start_writer /mnt/data/journal --direct --sync none --rest 500
    sleep 1
    for turn in 'lvm2 dmsnap' 'dmsnap lvm2' 'lvm2 dmsnap' 'dmsnap lvm2'; do
        take nothing sleep 0.3
        for tool in $turn; do $tool-turn; done
    done
    [ $load = none ] || stop_writer
done
umount /mnt/data
lvm2_content lvm2vg
kernel_at_rest
compare

echo
echo "PROVED: a snapshot of a mounted, busy volume held exactly what was safe at its cut; lvm2 agreed with every step;" \
    "in turns with lvm2 $(ratios)."
