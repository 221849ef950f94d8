# disks: 256M

# A snapshot that somebody took from under an origin in use cannot be joined to it again: what was written since is lost to it.
vgcreate -q vg /dev/ubda
lvcreate -q -y -n v -L 8M vg
lvcreate -q -y -s -n s -L 8M vg/v
lvcreate -q -an -Zn -y -n other -L 8M vg
lvchange -q --addtag dmsnap.changing vg/v
lvchange -q --addtag dmsnap.changing vg/other
dmsetup remove vg-s
words="vg-v is in use without its snapshot vg-s"
fails_with 1 "stuck: $words" dmsnap check vg
fails_with 7 "$words" dmsnap --dry-run repair vg
[[ $said == *"untag volume other"* ]] || fail "the dry run says nothing of what can be repaired"
fails_with 7 "$words" dmsnap repair vg
# The same where none is named: the group is one of all.
fails_with 7 "$words" dmsnap repair
equal "the tags of what is stuck, and of what is not" "dmsnap.changing," "$(reported vg/v tags),$(reported vg/other tags)"
dmsetup info vg-s-cow >/dev/null || fail "the store that the metadata names is gone"
# The error names the way out.
dmsnap snapshot remove vg/s
dmsnap repair vg
all_agree vg
equal "the tags of v" "" "$(reported vg/v tags)"
