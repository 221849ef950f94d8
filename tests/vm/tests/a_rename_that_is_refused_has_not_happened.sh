# disks: 256M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/g --size 4M
echo "somebody's" >/dev/vg/f
fails_with 4 /dev/vg/f dmsnap volume rename vg/g f
equal "the volume" g "$(names volume vg)"
[ -b /dev/vg/g ] || fail "its link is gone"
