# disks: 128M 128M 128M

# A device that the filter rejects is missing, for lvm2 and dmsnap.
hide() { # DEVICE...
    local device
    lvm_conf
    for device; do sed -i "s#filter = \[#filter = [\"r|^$device\$|\", #" /etc/lvm/lvm.conf; done
}
missing() { # how many devices lvm2 misses
    vgs --noheadings -o vg_missing_pv_count vg 2>/dev/null | xargs
}

dmsnap vg create vg /dev/ubda /dev/ubdb /dev/ubdc
dmsnap volume create vg/a --size 8M --on /dev/ubda
dmsnap volume create vg/a2 --size 8M --on /dev/ubda
dmsnap volume create vg/b --size 8M --on /dev/ubdb
echo kept >/dev/vg/b

# While one is missing only removing is possible, for lvm2 too.
hide /dev/ubdb
fails_with 7 'dmsnap vg reduce vg --missing' dmsnap volume create vg/new --size 4M
fails_with 5 "while PVs are missing" lvcreate -q -n new -L 4M vg
fails_with 6 'dmsnap volume remove vg/b' dmsnap vg reduce vg --missing
dmsnap volume remove vg/a2
equal "missing, for lvm2" 1 "$(missing)"

# It has missed a change, and holds a volume: nobody uses it before somebody says so.
hide
fails_with 7 "dmsnap vg extend vg --restore-missing /dev/ubdb" dmsnap volume create vg/new --size 4M
fails_with 5 "while PVs are missing" lvcreate -q -n new -L 4M vg
fails_with 2 "was not missing" dmsnap vg extend vg --restore-missing /dev/ubda
dmsnap vg extend vg --restore-missing /dev/ubdb
all_agree vg
equal "content" kept "$(head -c 4 /dev/vg/b)"

# One that holds nothing is taken in by itself.
hide /dev/ubdc
dmsnap volume remove vg/a
hide
dmsnap volume create vg/a --size 8M --on /dev/ubda
all_agree vg

# Going on without a device.
hide /dev/ubdb
dmsnap volume remove vg/b
dmsnap vg reduce vg --missing
lvm2_content vg
hide
equal "outdated" used "$(dmsnap -q -o json pv list | jq -r '.pvs[] | select(.device == "/dev/ubdb").state')"
dmsnap pv list 2>&1 | grep "/dev/ubdb is outdated: its metadata is of volume group vg"
fails_with 7 "give --wipe; \`dmsnap pv remove --wipe /dev/ubdb\`" dmsnap vg extend vg /dev/ubdb
fails_with 7 "dmsnap pv remove --wipe /dev/ubdb" dmsnap pv remove /dev/ubdb
dmsnap pv remove --wipe /dev/ubdb
all_agree vg

# Two groups of one name.
dmsnap -q deactivate vg
hide /dev/ubda /dev/ubdc
dmsnap vg create vg /dev/ubdb
uuid=$(vgs --noheadings -o vg_uuid vg | xargs)
hide
fails_with 7 "dmsnap vg rename" dmsnap volume create vg/new --size 4M
dmsnap vg rename "$uuid" other
all_agree vg
lvm2_content other
equal "volumes of vg" a "$(names volume vg)"
