# disks: 64M

# Commits of both tools in turn with texts of random sizes: each begins where lvm2's rule for the ring of an area has it, the seqno
# rises by one, and no tag is lost. On an area of 32 KiB, the smallest, the texts wrap around its end often.
metadata() { "$TOOLS/metadata" "$@"; }

metadata create vg small /dev/ubda
seed=$((RANDOM + 1))
echo "seed $seed"
metadata alternate vg 200 $seed | tee /run/said
[ "$(cut -d ' ' -f 1 /run/said)" -ge 16 ] || fail "too few wraps"
equal "seqno" "seqno 201, refusal: none" "$(metadata show vg | sed -n 1p)"
lvm2_content vg
