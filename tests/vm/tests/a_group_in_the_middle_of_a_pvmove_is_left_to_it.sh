# disks: 64M 64M 64M

# While lvm2's pvmove runs, and after it was interrupted, dmsnap lists the group, changes nothing and leaves the devices alone. When
# lvm2 has finished it or taken it back, dmsnap goes on.
modprobe -q dm-mirror
dmsnap vg create vg /dev/ubda /dev/ubdb /dev/ubdc
dmsnap volume create vg/moved --size 16M --on /dev/ubda
dmsnap volume create vg/still --size 8M --on /dev/ubdc
dmsnap volume create vg/asleep --size 4M --on /dev/ubdc
dmsnap deactivate vg/asleep
head -c 16M /dev/urandom >/run/content
dd if=/run/content of=/dev/vg/moved bs=1M oflag=direct status=none
content() { cmp -n 16M /run/content /dev/vg/moved || fail "the content of vg/moved is another one"; }

moving() { lvs -a --noheadings -o name vg 2>/dev/null | grep -q pvmove0; }
# lvm2 moves, and does not look whether it is done for a while.
move() { # FROM TO
    pvmove -q -i +60 "$1" "$2" >/run/pvmove 2>&1 &
    mover=$!
    eventually 20 moving
    eventually 20 dmsetup info vg-pvmove0 >/dev/null
}
left_alone() {
    local before devices
    before=$(disk_sum) devices=$(kernel_state)
    fails_with 7 "vg is in the middle of LVM2's pvmove: pvmove0 moves extents from /dev/ubda to /dev/ubdb" \
        dmsnap volume create vg/new --size 4M
    [[ $said == *'`pvmove` without arguments goes on with it, and `pvmove --abort` takes it back'* ]] || fail "no way out"
    fails_with 7 "pvmove" dmsnap snapshot create vg/still --name s
    fails_with 7 "pvmove" dmsnap volume remove vg/still
    fails_with 7 "pvmove" dmsnap volume rename vg/still other
    fails_with 7 "pvmove" dmsnap vg rename vg other
    fails_with 7 "pvmove" dmsnap vg reduce vg --missing
    fails_with 7 "pvmove" dmsnap repair vg
    fails_with 7 "" dmsnap deactivate vg/moved
    dmsnap check vg | tee /run/said
    grep -q "vg: not looked into: .*pvmove" /run/said
    equal "volumes" "asleep moved still" "$(names volume vg)"
    equal "reason" 1 "$(dmsnap -o json vg list vg | jq -r '.vgs[0].reason' | grep -c "pvmove0 moves extents")"
    equal "the disks" "$before" "$(disk_sum)"
    equal "devices" "$devices" "$(kernel_state)"
}

move /dev/ubda /dev/ubdb
left_alone
# What is not being moved can be used.
dmsnap activate vg/asleep
dmsnap deactivate vg/asleep
# It dies, and nobody goes on with it.
kill -KILL $mover
wait $mover || true
left_alone
pvmove -q --abort
content
dmsnap volume create vg/new --size 4M
dmsnap volume remove vg/new
equal "where it is" "/dev/ubda(0)" "$(lvs --noheadings -o devices vg/moved | xargs)"
all_agree vg

move /dev/ubda /dev/ubdb
kill -KILL $mover
wait $mover || true
fails_with 7 "pvmove" dmsnap volume create vg/new --size 4M
pvmove -q -i 1
content
dmsnap snapshot create vg/moved --name s --size 4M
equal "where it is" "/dev/ubdb(0)" "$(lvs -a --noheadings -o devices vg/moved | xargs)"
all_agree vg
dmsnap snapshot remove vg/s
content
