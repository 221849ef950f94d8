# disks: 64M 64M
# timeout: 240

metadata() { "$TOOLS/metadata" "$@"; }

metadata create vg /dev/ubda /dev/ubdb
metadata count vg 40 &
jobs=($!)
metadata count vg 40 200 &
jobs+=($!)
for worker in a b; do
    for ((number = 0; number < 15; number++)); do
        vgchange -q --addtag "$worker$number" vg >/dev/null 2>>/run/errors || exit 1
    done &
    jobs+=($!)
done
for ((number = 0; number < 15; number++)); do lvs vg >/dev/null 2>>/run/errors || exit 1; metadata show vg >/dev/null; done &
jobs+=($!)
for job in "${jobs[@]}"; do wait "$job"; done
[ ! -s /run/errors ] || fail "lvm2 said: $(cat /run/errors)"
equal "seqno" "seqno 111, refusal: none" "$(metadata show vg | sed -n 1p)"
equal "tags of lvm2" 30 "$(vgs --noheadings -o vg_tags vg | tr ',' '\n' | grep -c '^ *[ab][0-9]')"
lvm2_content vg
equal "locks left" "" "$(ls /run/lock/lvm)"
