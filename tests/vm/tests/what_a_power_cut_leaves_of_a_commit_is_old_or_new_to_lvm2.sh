# disks: 16M 16M 16M
# timeout: 240

# Writes that were not flushed are lost, kept, torn between sectors, or done in another order: lvm2 finds the version before the commit
# or the new one, and the next commits of lvm2 and of dmsnap both succeed.
metadata() { "$TOOLS/metadata" "$@"; }
. "$TOP/tests/vm/shell.sh"

metadata create vg small /dev/ubda /dev/ubdb /dev/ubdc
# The new text wraps around the end of the area.
metadata fill vg 12000
metadata count vg 1
mkdir /run/cuts
metadata cuts vg /run/cuts "$(short_or_long 1 8)"
lvm2_shell
old=0 new=0
for words in /run/cuts/*.words; do
    for disk in ubda ubdb ubdc; do
        dd of=/dev/$disk if="${words%words}$disk" bs=64k oflag=direct conv=notrunc status=none
    done
    cut=none
    echo "$(<"$words")"
    # Of copies that differ lvm2 takes the newest, with warnings.
    lvm2_says 'vgs --noheadings -o seqno,tags vg'
    for line in "${said[@]}"; do
        [[ ! $line =~ ^\ +3\  ]] || cut=old
        [[ ! $line =~ ^\ +4\ .*cut ]] || cut=new
    done
    case $cut in
        old) old=$((old + 1)) ;;
        new) new=$((new + 1)) ;;
        *) fail "$(cat "$words"): ${said[*]}" ;;
    esac
    lvm2_ends_with '  Volume group "vg" successfully changed' 'vgchange --addtag lvm2 vg'
    metadata renew vg || fail "$(cat "$words")"
done
echo "old $old times, new $new times"
[ $old -gt 3 ] && [ $new -gt 3 ] || fail "not both versions were seen"
lvm2_content vg
