# disks: 64M 64M
# timeout: 100

# Four writers and four readers of dmsnap and as many of lvm2 at once: each commit is there, the seqno says exactly how many there
# were, no reader finds the group damaged or older than before, and no lock is left. Strangers take and drop the same lock files.
duration=$(short_or_long 8 60)
metadata() { "$TOOLS/metadata" "$@"; }
metadata create vg /dev/ubda /dev/ubdb
locks=/run/lock/lvm

# What one volume made and removed costs in versions.
seqno() { metadata show vg | sed -n 's/^seqno \([0-9]*\), refusal: none$/\1/p'; }
dmsnap -q volume create vg/once --size 4M
dmsnap -q volume remove vg/once
each=$(($(seqno) - 1))

# A shell of lvm2, what it complains of in a file.
lvm2_process() { # NAME
    mkfifo "/run/$1.in" "/run/$1.out"
    lvm <"/run/$1.in" >"/run/$1.out" 2>"/run/$1.errors" &
    exec {in}>"/run/$1.in" {out}<"/run/$1.out"
}

# It is told a command and answers with a line: the answers with these words are its commits. N in a command is the round.
lvm2_writes() { # NAME WORDS COMMAND...
    local name=$1 words=$2 command line count=0 round=0 in out
    shift 2
    lvm2_process "$name"
    while [ $SECONDS -lt $until ]; do
        round=$((round + 1))
        for command; do
            printf '%s\n' "${command//N/$round}" >&$in
            IFS= read -r -t 60 line <&$out || { echo "$name does not answer" >>/run/errors; exit 1; }
            [[ $line == *$words* ]] || { echo "$name: $line" >>/run/errors; exit 1; }
            count=$((count + 1))
        done
    done
    exec {in}>&- {out}<&-
    echo $count >"/run/$name.count"
}

lvm2_reads() { # NAME COMMAND
    local name=$1 count=0 in out line=
    lvm2_process "$name"
    while [ $SECONDS -lt $until ]; do
        # The line of the second marks the end of the first's.
        printf '%s\nvgs --noheadings -o vg_free_count --nameprefixes vg\n' "$2" >&$in
        until [[ $line == *VG_FREE_COUNT=* ]]; do
            IFS= read -r -t 60 line <&$out || { echo "$name does not answer" >>/run/errors; exit 1; }
        done
        line=
        count=$((count + 1))
    done
    exec {in}>&- {out}<&-
    echo $count >"/run/$name.count"
}

dmsnap_reads() { # NAME ARGUMENT...
    local name=$1 count=0
    shift
    while [ $SECONDS -lt $until ]; do
        "$DMSNAP" "$@" >/dev/null 2>>/run/errors || { echo "$*" >>/run/errors; exit 1; }
        count=$((count + 1))
    done
    echo $count >"/run/$name.count"
}

dmsnap_writes() {
    local count=0
    while [ $SECONDS -lt $until ]; do
        "$DMSNAP" -q volume create vg/d$count --size 4M >/dev/null && "$DMSNAP" -q volume remove vg/d$count || exit 1
        count=$((count + 1))
    done
    echo $count >/run/volumes.count
}

# Holds the lock and dies, or leaves it to be unlinked by others: harmless to whoever looks whether the file is still the named one.
strangers() {
    while [ $SECONDS -lt $until ]; do
        sleep 0.5
        flock -s $locks/V_vg true
        flock -x $locks/V_vg:aux true
        timeout -s KILL 0.1 flock -x $locks/V_vg sleep 5 || true
    done
}

before=$(seqno)
SECONDS=0 until=$duration
for name in a b c; do metadata beat vg "$duration" $name >/run/$name.count 2>>/run/errors & jobs+=($!); done
dmsnap_writes 2>>/run/errors & jobs+=($!)
for name in p q r; do
    lvm2_writes $name "successfully changed" "vgchange --addtag $name-N vg" "vgchange --deltag $name-N vg" & jobs+=($!)
done
lvm2_writes volumes2 'Logical volume "l-' "lvcreate -an -Zn -l 1 -n l-N vg" "lvremove -y vg/l-N" & jobs+=($!)
metadata watch vg "$duration" >/run/watch1.count 2>>/run/errors & jobs+=($!)
metadata watch vg "$duration" locked >/run/watch2.count 2>>/run/errors & jobs+=($!)
dmsnap_reads list1 volume list vg & jobs+=($!)
dmsnap_reads list2 vg list & jobs+=($!)
lvm2_reads lvs 'lvs -a vg' & jobs+=($!)
lvm2_reads vgs vgs & jobs+=($!)
lvm2_reads pvs pvs & jobs+=($!)
lvm2_reads vgck 'vgck vg' & jobs+=($!)
strangers 2>/dev/null & jobs+=($!)
for job in "${jobs[@]}"; do wait "$job" || fail "one of them failed: $(cat /run/errors /run/*.errors)"; done
cat /run/*.errors | grep -v ' not zeroed' >>/run/errors || true
[ ! -s /run/errors ] || fail "somebody complained: $(cat /run/errors)"

total=0
for name in a b c p q r volumes2; do total=$((total + $(cat /run/$name.count))); done
total=$((total + $(cat /run/volumes.count) * each))
for name in /run/*.count; do echo "$(basename "$name" .count) $(cat "$name")"; done | xargs
echo "$total commits in $duration s"
equal "seqno" $((before + total)) "$(seqno)"
for name in a b c; do [ "$(cat /run/$name.count)" -gt 0 ] || fail "$name never got the lock"; done
equal "tags" "$(for name in a b c; do echo $name-$(cat /run/$name.count); done | xargs)" \
    "$(vgs --noheadings -o vg_tags vg | tr , '\n' | sort | xargs)"
equal "volumes" "" "$(lvs --noheadings vg)"
lvm2_content vg
equal "locks left" "" "$(ls $locks)"
