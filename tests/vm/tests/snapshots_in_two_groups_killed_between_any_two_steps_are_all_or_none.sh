# disks: 64M 64M
# timeout: 600
# Wherever the command is killed that takes snapshots in two groups at one instant, the next command in each of them, in either order, ends
# with both or with none; and lvm2 has nothing to say of either.

for group in a b; do
    disk=/dev/ubd$group
    dmsnap -q vg create vg$group $disk >/dev/null
    dmsnap -q volume create vg$group/db --size 8M >/dev/null
    mkfs.ext4 -q /dev/vg$group/db
    mkdir $group
    mount /dev/vg$group/db $group
    head -c 256K /dev/urandom >$group/file
done
sync
known=$(cat a/file b/file | md5sum)

stride=$(each_so_many 7)
both=0 none=0
for ((step = 1 + RANDOM % stride; ; step += stride)); do
    [ $step -le 500 ] || fail "no end after 500 steps"
    status=0
    DMSNAP_KILL_AT=$step "$DMSNAP" -q snapshot create vga/db vgb/db --name s --name t >/tmp/said 2>&1 || status=$?
    [ $status = 0 ] || [ $status = 137 ] || { cat /tmp/said; fail "step $step: status $status and not a kill"; }
    order=(vga vgb)
    [ $((step % 2)) = 0 ] || order=(vgb vga)
    for vg in "${order[@]}"; do dmsnap -q repair $vg; done
    for vg in "${order[@]}"; do dmsnap check $vg || fail "step $step: something is left in $vg"; done
    kernel_at_rest
    found="$(names snapshot vga) $(names snapshot vgb)"
    case $found in
    's t')
        mkdir -p /mnt/s /mnt/t
        mount -o ro /dev/vga/s /mnt/s
        mount -o ro /dev/vgb/t /mnt/t
        equal "what they hold" "$known" "$(cat /mnt/s/file /mnt/t/file | md5sum)"
        umount /mnt/s /mnt/t
        dmsnap -q snapshot remove vga/s
        dmsnap -q snapshot remove vgb/t
        both=$((both + 1))
        ;;
    ' ')
        [ $status != 0 ] || fail "acknowledged and not there"
        none=$((none + 1))
        ;;
    *) fail "step $step: half of them: $found" ;;
    esac
    for group in a b; do sync -f $group || fail "step $step: $group cannot be written"; done
    [ $status != 0 ] || break
done
echo "killed before up to step $step: $none times none, $both times both"
echo "tally: $((none + both - 1)) commands killed before a step"
[ $none -gt 0 ] || fail "nothing was killed"
for group in a b; do lvm2_content vg$group; done
