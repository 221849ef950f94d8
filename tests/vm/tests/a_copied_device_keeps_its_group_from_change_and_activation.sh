# disks: 16M 16M 16M

# Two devices with one identity: nobody knows which has the data. Neither tool changes the group or activates what is on it.
vgcreate -q vg /dev/ubda /dev/ubdb
lvcreate -q -an -Zn -y -n v -L 8M vg /dev/ubdb
lvcreate -q -an -Zn -y -n w -L 8M vg /dev/ubda
dd if=/dev/ubdb of=/dev/ubdc bs=1M iflag=direct oflag=direct status=none
before=$(disk_sum)
fails_with 7 "there twice: /dev/ubdb, /dev/ubdc" dmsnap volume create vg/x --size 4M
fails_with 7 "there twice: /dev/ubdb, /dev/ubdc" dmsnap activate vg/v
fails_with 7 "there twice: /dev/ubdb, /dev/ubdc" dmsnap snapshot create vg/v --name s
fails_with 7 "" dmsnap vg create new /dev/ubdc
fails_with 5 "duplicate" vgchange --addtag t vg
fails_with 5 "duplicate" lvchange -ay vg/v
equal "the disks" "$before" "$(disk_sum)"
equal "devices" "No devices found" "$(dmsetup ls)"
dmsnap volume list vg

# What is active is let be.
dd if=/dev/zero of=/dev/ubdc bs=1M count=1 oflag=direct status=none
dmsnap activate vg/v
dd if=/dev/ubdb of=/dev/ubdc bs=1M count=1 iflag=direct oflag=direct status=none
state=$(kernel_state)
fails_with 7 "there twice" dmsnap volume remove vg/v
fails_with 7 "there twice" dmsnap activate vg/v
equal "the kernel" "$state" "$(kernel_state)"
dd if=/dev/zero of=/dev/ubdc bs=1M count=1 oflag=direct status=none
dmsnap volume create vg/x --size 4M
all_agree vg
