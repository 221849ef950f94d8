# disks: 64M 64M 64M

# A writer dies before each of its writes to the areas of three devices: lvm2 finds the version before or the new one, never a
# mixture, what was only precommitted is ignored, and the next commits of lvm2 and of dmsnap both succeed and leave nothing of it.
metadata() { "$TOOLS/metadata" "$@"; }
. "$TOP/tests/vm/shell.sh"

# Of copies that differ lvm2 takes the newest, with warnings.
look() { # leaves seqno, and in counted 1 if the tag is there
    local line
    lvm2_says 'vgs --noheadings -o seqno,vg_tags vg'
    for line in "${said[@]}"; do
        [[ $line =~ ^\ +([0-9]+)\  ]] || continue
        seqno=${BASH_REMATCH[1]} counted=0
        [[ $line != *count* ]] || counted=1
    done
}

metadata create vg /dev/ubda /dev/ubdb /dev/ubdc
lvm2_shell
look
old=0 new=0
for ((step = 1; step < 100; step++)); do
    before=$seqno counted_before=$counted status=0
    DMSNAP_KILL_AT=$step metadata count vg 1 || status=$?
    look
    [ $status != 0 ] || break
    equal "status at step $step" 137 $status
    case $((seqno - before)) in
        0) old=$((old + 1)); equal "the tag before step $step" "$counted_before" "$counted" ;;
        1) new=$((new + 1)); equal "the tag after step $step" $((1 - counted_before)) "$counted" ;;
        *) fail "step $step: seqno $seqno after $before" ;;
    esac
    before=$seqno
    lvm2_ends_with '  Volume group "vg" successfully changed' "vgchange --addtag t$step --deltag t$((step - 1)) vg"
    metadata renew vg
    look
    equal "seqno at step $step after a commit of lvm2 and one of dmsnap" $((before + 2)) "$seqno"
done
echo "old $old times, new $new times"
# Three texts, three headers, and flushes behind both; then header and flush for each device: the first of them commits.
equal "steps" "13 5" "$old $new"
for dev in /dev/ubda /dev/ubdb /dev/ubdc; do
    equal "precommitted on $dev" null "$(dmsnap -o json inspect $dev | jq -c '.areas[0].precommitted')"
done
lvm2_content vg
