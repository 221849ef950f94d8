# disks: 16M

# The largest text that lvm2 writes into an area: half of the ring less a sector. Both tools refuse the first byte more, and
# nothing has changed on the disk.
metadata() { "$TOOLS/metadata" "$@"; }

metadata create vg small /dev/ubda
largest=$(((32768 - 512) / 2 - 512))
before=$(disk_sum)
fails_with 1 "the metadata would have $((largest + 1)) bytes, and its area on disk has room for $largest" metadata fill vg $((largest + 1))
equal "the disk" "$before" "$(disk_sum)"
metadata fill vg $largest
equal "the text" "text /dev/ubda 1536 $largest" "$(metadata show vg | grep ^text)"
lvm2_content vg

before=$(disk_sum)
fails_with 5 "exceeds maximum metadata size ($largest bytes)" vgchange --addtag x vg
fails_with 5 "the metadata would have" dmsnap volume create vg/v --size 4M
equal "the disk" "$before" "$(disk_sum)"
