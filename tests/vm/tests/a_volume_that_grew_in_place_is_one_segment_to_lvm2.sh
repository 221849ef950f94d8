# disks: 256M

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/v --size 8M
dmsnap volume extend vg/v --size +8M
lvm2_content vg

# lvm2 joins segments that continue each other; the table that it loads is no difference.
lvchange -q -an vg/v
lvchange -q -ay vg/v
dmsnap check vg
