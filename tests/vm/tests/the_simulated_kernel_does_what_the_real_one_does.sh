# disks: 16M
# timeout: 600

dmesg -n 1 # refusals are what it is about
"$TOOLS/dm_compare" /dev/ubda "$(short_or_long 40 2500)" ${DMSNAP_LONG:+"$SEED"}
