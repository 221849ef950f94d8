# disks: 32M 32M 32M

# Devices that hold different versions under one seqno: lvm2 takes the one that it sees first, dmsnap none. A person says which is
# right, and then both go on with it.
keep() { dd if=$1 of="/run/$2" iflag=direct bs=1M count=1 status=none; }
bring_back() { dd of=$1 if="/run/$2" oflag=direct bs=1M count=1 status=none; }
# What COMMAND writes stays on /dev/ubdb alone; /dev/ubda has the version of a tag.
split() { # COMMAND...
    keep /dev/ubda a; keep /dev/ubdb b
    "$@"
    keep /dev/ubdb other
    bring_back /dev/ubda a; bring_back /dev/ubdb b
    vgchange -q --addtag right vg
    bring_back /dev/ubdb other
}
both_have() { # TAG
    equal "tags, for lvm2" "$1" "$(vgs --noheadings -o vg_tags vg | xargs)"
    all_agree vg
}

vgcreate -q vg /dev/ubda /dev/ubdb
dmsnap volume create vg/v --size 8M
split vgchange -q --addtag wrong vg
before=$(disk_sum)
fails_with 7 '`dmsnap repair vg --from /dev/ubda` or `dmsnap repair vg --from /dev/ubdb`' dmsnap volume create vg/x --size 4M
fails_with 7 'dmsnap repair vg --from' dmsnap repair vg
dmsnap --dry-run repair vg --from /dev/ubda | tee /run/plan
grep -q 'metadata: commit as seqno .* what /dev/ubda says: seqno .*, written .* on .*, ".*vgchange -q --addtag right vg\."' /run/plan
grep -q 'metadata: give up what /dev/ubdb says: .*"Write from vgchange -q --addtag wrong vg' /run/plan
equal "phases" "metadata metadata" "$(dmsnap -o json --dry-run repair vg --from /dev/ubda | jq -r '[.plan[].phase] | join(" ")')"
fails_with 3 "/dev/ubdc is no physical volume" dmsnap repair vg --from /dev/ubdc
fails_with 2 "--from is for one volume group" dmsnap repair vg other --from /dev/ubda
equal "the disks" "$before" "$(disk_sum)"

dmsnap repair vg --from /dev/ubda
both_have right
fails_with 7 "there is nothing to choose" dmsnap repair vg --from /dev/ubda
# What was given up can be had again.
vgcfgrestore -l vg | grep "dmsnap repair vg --from /dev/ubda"
grep -l '"wrong"' /etc/lvm/archive/vg_*

# A volume that only the other version knows is active: its extents must not become free.
vgchange -q --deltag right vg
split lvcreate -q -y -n late -L 4M vg
fails_with 6 "device vg-late is of no volume that it knows" dmsnap repair vg --from /dev/ubda
dmsetup remove vg-late
rm -f /dev/vg/late
dmsnap repair vg --from /dev/ubda
both_have right
equal "volumes" v "$(names volume vg)"
dmsnap volume create vg/x --size 4M
all_agree vg
