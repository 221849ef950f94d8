# Test 21 of those that an independent implementation must pass.
# disks: 256M
# timeout: 180

fill() { dd if=/dev/urandom of="$1" oflag=direct bs=1M count=16 status=none; }
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
for name in by-origin by-itself theirs; do
    case $name in
    theirs) lvcreate -q -y -s -n theirs -L 4M vg/o ;;
    *) dmsnap snapshot create vg/o --name $name --size 4M ;;
    esac
    if [ $name = by-itself ]; then fill /dev/vg/$name || true; else fill /dev/vg/o; fi
    equal "state of $name" invalid "$(listed snapshot vg/$name state)"
    fails_with 7 "worth nothing" dmsnap snapshot rollback vg/$name --merge
    fails_with 7 "snapshot remove vg/$name" dmsnap snapshot extend vg/$name --size +8M
done
before=$(sum /dev/vg/o)

# The store's header says it: after a restart of everything, and while nothing is active.
dmsnap deactivate vg
for name in by-origin by-itself theirs; do
    fails_with 7 "worth nothing" dmsnap snapshot rollback vg/$name --merge --undo kept
done
[ "$(names snapshot vg)" = "by-itself by-origin theirs" ] || fail "a refused rollback left a snapshot"
dmsnap activate vg
for name in by-origin by-itself theirs; do equal "state of $name" invalid "$(listed snapshot vg/$name state)"; done
lvextend -q -L +8M vg/theirs
equal "state of what lvm2 extended" invalid "$(listed snapshot vg/theirs state)"

# lvm2 accepts a merge of one that is not active. It never ends: that is told, and it can be taken away; the volume is as it was.
dmsnap deactivate vg
lvconvert -q --merge vg/by-origin
dmsnap activate vg
equal "state of a merge that is none" invalid "$(listed snapshot vg/by-origin state)"
equal "content" "$before" "$(sum /dev/vg/o)"
agreed vg snapshot remove vg/by-origin
agreed vg snapshot remove vg/by-itself vg/theirs
equal "content" "$before" "$(sum /dev/vg/o)"
