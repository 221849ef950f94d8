# disks: 128M 128M 128M

# dmsnap and lvm2 count the same areas, in use and in all, whoever made and changed the group.
areas() { # the group's areas in use, and all
    vgs --noheadings -o vg_mda_used_count,vg_mda_count "$1" | xargs
}

dmsnap pv create /dev/ubda --metadata-copies 0
dmsnap pv create /dev/ubdb --metadata-copies 2
equal "areas that lvm2 sees" "0 2" "$(pvs --noheadings -o pv_mda_count /dev/ubda /dev/ubdb | xargs)"
fails_with 7 "metadata area" dmsnap vg create vg /dev/ubda
dmsnap vg create vg /dev/ubda /dev/ubdb --metadata-copies 1
lvm2_content vg
equal "of two areas one is used" "1 2" "$(areas vg)"
dmsnap vg extend vg /dev/ubdc
equal "still one" "1 3" "$(areas vg)"
vgchange -q --vgmetadatacopies 2 vg
equal "lvm2 takes a second" "2 3" "$(areas vg)"
agreed vg volume create vg/a --size 8M --on /dev/ubda
equal "dmsnap keeps both" "2 3" "$(areas vg)"
vgchange -q --vgmetadatacopies all vg
equal "all of them" "3 3" "$(areas vg)"
pvchange -q --metadataignore y /dev/ubdb
agreed vg volume create vg/b --size 8M --on /dev/ubda
equal "what lvm2 ignores stays so" "1 3" "$(areas vg)"
dmsnap vg reduce vg /dev/ubdc
lvm2_content vg
equal "another takes over from the one that left" "1 2" "$(areas vg)"
fails_with 7 "metadata area" dmsnap vg reduce vg /dev/ubdb
equal "volumes" "a b" "$(lvs --noheadings -o name vg | xargs)"
