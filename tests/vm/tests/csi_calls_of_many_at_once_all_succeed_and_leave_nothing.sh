# disks: 2G
# timeout: 240

. "$TOP/tests/vm/csi.sh"
dmsnap vg create vg /dev/ubda --extent-size 1M
serve
ids=()
for number in $(seq 32); do ids+=("$(csi create "pvc-$number" 8)"); done
before=$(dmsetup table | sort)
free=$(dmsnap -o json vg list vg | jq '.vgs[0].free_bytes')
files() { ls "/proc/$server/fd" | wc -l; }
opened=$(files)

csi crowd 16 "$(short_or_long 96 1000)" "${ids[@]}"

equal "snapshots" "" "$(csi list snapshots)"
equal "what is free" "$free" "$(dmsnap -o json vg list vg | jq '.vgs[0].free_bytes')"
equal "the kernel's devices" "$before" "$(dmsetup table | sort)"
# A connection is closed a moment after its caller has gone.
eventually 5 eval '[ "$(files)" -le "$opened" ]'
stop
dmsnap check vg
kernel_at_rest
lvm2_content vg
