# disks: 256M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/db --size 16M
dmsnap snapshot create vg/db --name a
dmsnap snapshot create vg/db --name b

# The removal of both dies behind its first commit; somebody opens one of them; then comes another command.
DMSNAP_KILL_AT=7 "$DMSNAP" snapshot remove vg/a vg/b && fail "it was not killed"
exec 9</dev/mapper/vg-a
dmsnap volume create vg/next --size 100%FREE
dmsetup table
tr '\0' x </dev/zero | dd of=/dev/vg/next bs=1M iflag=fullblock oflag=direct status=none || true
before=$(dd if=/dev/vg/next bs=1M iflag=direct status=none | md5sum)
dd if=/dev/urandom of=/dev/vg/db bs=1M count=16 oflag=direct status=none
equal "the new volume's content" "$before" "$(dd if=/dev/vg/next bs=1M iflag=direct status=none | md5sum)"
