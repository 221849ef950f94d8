# disks: 2G
# timeout: 240

csi() { "$TOOLS/csi" "$@"; }
dmsnap vg create vg /dev/ubda --extent-size 1M
ids=()
for number in $(seq 32); do ids+=("$(csi create "pvc-$number" 8)"); done
before=$(dmsetup table | sort)
free=$(dmsnap -o json vg list vg | jq '.vgs[0].free_bytes')

csi crowd 16 "$(short_or_long 320 1000)" "${ids[@]}"

equal "snapshots" "" "$(names snapshot vg)"
equal "what is free" "$free" "$(dmsnap -o json vg list vg | jq '.vgs[0].free_bytes')"
equal "the kernel's devices" "$before" "$(dmsetup table | sort)"
dmsnap check vg
kernel_at_rest
lvm2_content vg
