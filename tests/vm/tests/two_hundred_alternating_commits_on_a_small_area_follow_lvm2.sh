# disks: 64M
# timeout: 240

metadata() { "$TOOLS/metadata" "$@"; }

# Where lvm2's rule puts the next text of SIZE bytes behind one at OFFSET of OLD bytes, in an area of 32 KiB.
next_offset() { # OFFSET OLD
    local size=32768 last=$(($1 + $2 - 1)) start
    [ $(($1 + $2)) -le $size ] || last=$(($1 + $2 - size + 512 - 1))
    start=$(((last + 512) / 512 * 512))
    if [ $((size - last)) -lt 512 ] || [ $start -gt $((size - 512)) ]; then start=512; fi
    echo $start
}

place() { metadata show vg | sed -n 's/^text [^ ]* //p'; }

metadata create vg small /dev/ubda
read -r offset size < <(place)
wraps=0
for ((number = 0; number < 100; number++)); do
    metadata count vg 1 900
    read -r mine mine_size < <(place)
    equal "where commit $number of dmsnap is" "$(next_offset "$offset" "$size")" "$mine"
    [ "$mine" -gt "$offset" ] || wraps=$((wraps + 1))

    # lvm2's turn: one tag longer or shorter each time.
    tag=t$(printf '%*s' $((number * 353 % 2600 + 1)) '' | tr ' ' y)
    if ((number % 4 == 3)); then
        args=(); for tag in $(vgs --noheadings -o vg_tags vg | tr ',' ' '); do [[ $tag == count* ]] || args+=(--deltag "$tag"); done
    else
        args=(--addtag "$tag")
    fi
    vgchange "${args[@]}" vg >/dev/null 2>/run/errors || fail "vgchange: $(cat /run/errors)"
    [ ! -s /run/errors ] || fail "lvm2 said: $(cat /run/errors)"
    read -r offset size < <(place)
    equal "where commit $number of lvm2 is" "$(next_offset "$mine" "$mine_size")" "$offset"
    [ "$offset" -gt "$mine" ] || wraps=$((wraps + 1))
done
equal "seqno" "seqno 201, refusal: none" "$(metadata show vg | sed -n 1p)"
echo "$wraps wraps"
[ $wraps -ge 16 ] || fail "only $wraps wraps"
lvm2_content vg
