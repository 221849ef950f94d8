# disks: 16M
# timeout: 240

dmesg -n 1 # refusals are what it is about
"$TOOLS/dm_compare" /dev/ubda 40
