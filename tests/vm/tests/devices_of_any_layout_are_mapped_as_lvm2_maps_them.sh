# disks: 64M 64M 64M

# Data that begins at an odd sector, a large metadata area, a device that is to be used in part, extents that are no power of two,
# and labels of older versions: where a volume lies is the same to both, and the next commit brings the labels up to date.
pvcreate -q --dataalignment 64k --dataalignmentoffset 7s /dev/ubda
pvcreate -q --metadatasize 1500k /dev/ubdb
pvcreate -q -y --setphysicalvolumesize 40M /dev/ubdc
vgcreate -q -s 384k vg /dev/ubda /dev/ubdb /dev/ubdc
"$TOOLS/forge" extension /dev/ubda 0
"$TOOLS/forge" extension /dev/ubdb 1
"$TOOLS/forge" extension /dev/ubdc 2
[[ $(vgs vg 2>&1) == *"old PV header"* ]] || fail "lvm2 does not mind old labels"

dmsnap volume create vg/linear --size 5M --on /dev/ubda
dmsnap volume create vg/striped --size 6M --stripes 3
dmsnap snapshot create vg/linear vg/striped --name s --name t
all_agree vg
equal "versions of the labels" "2 2 2" "$(pvs --noheadings -o pv_ext_vsn | xargs)"
tables() { dmsetup table | sed 's/254:[0-9]*/DM/g' | sort; }
tables | tee /run/ours
grep -q '98:0 2055$' /run/ours || fail "no volume begins at the odd sector"
vgchange -q -an vg
vgchange -q -ay vg
diff /run/ours <(tables) || fail "lvm2 maps them elsewhere"
dmsnap volume extend vg/striped --size +3M

# The whole of the third device.
pvresize -q /dev/ubdc
dmsnap volume create vg/late --size 30M --on /dev/ubdc
all_agree vg
