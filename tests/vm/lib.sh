# Sourced before each guest script: strictness, and the words that the tests are written in.
# The script runs as root; /dev/ubda and on are its disks, $DMSNAP the binary under test, $TOOLS the test programs, $RESULTS a
# directory of the host.

set -Eeuo pipefail
shopt -s inherit_errexit
trap 'status=$?; echo "FAILED at ${BASH_SOURCE[0]##*/}:$LINENO, status $status: $BASH_COMMAND" >&2' ERR
export LVM_SUPPRESS_FD_WARNINGS=1
RANDOM=$((SEED + LIFE))

dmsnap() { "$DMSNAP" "$@"; }

# The test has failed: say why and from where.
fail() { # WORDS...
    local i
    echo "FAILED: $*" >&2
    for ((i = 1; i < ${#FUNCNAME[@]} - 1; i++)); do
        echo "  in ${FUNCNAME[i]}, called at ${BASH_SOURCE[i + 1]##*/}:${BASH_LINENO[i]}" >&2
    done
    trap - ERR
    exit 1
}

equal() { # WHAT WANTED GOT
    [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

# The command must exit with STATUS, and say WORDS on either output; $said is what it said.
fails_with() { # STATUS WORDS COMMAND...
    local status=$1 words=$2 got=0
    shift 2
    said=$("$@" 2>&1) || got=$?
    printf '%s\n  -> %s: %s\n' "$*" "$got" "$said"
    [ "$got" = "$status" ] || fail "exit status $got instead of $status from: $*"
    [[ $said == *"$words"* ]] || fail "'$words' is not said by: $*"
}

# How much of it a test does that gains by length: everyday, and with `make test-long`.
short_or_long() { # SHORT LONG
    if [ -n "$DMSNAP_LONG" ]; then echo "$2"; else echo "$1"; fi
}

# Of what is cut at every step each so many, everyday and in a soak, which draws the first by lot; each one with `make test-long`.
each_so_many() { # NUMBER
    if [ "$DMSNAP_LONG" = 1 ]; then echo 1; else echo "$1"; fi
}

# Waits until the command succeeds.
eventually() { # SECONDS COMMAND...
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || fail "not within the time: $*"
        sleep 0.1
    done
}

# The configuration that lvm2 and dmsnap share: they see the disks of the guest, and other devices only by these patterns.
lvm_conf() { # PATTERN...
    local pattern accepted='"a|^/dev/ubd|"' udev=1
    for pattern; do accepted+=", \"a|$pattern|\""; done
    [ -z "${DM_DISABLE_UDEV-}" ] || udev=0
    cat >/etc/lvm/lvm.conf <<END
devices {
    types = ["ubd", 16]
    filter = [$accepted, "r|.*|"]
    use_devicesfile = 0
    obtain_device_list_from_udev = 0
    external_device_info_source = "none"
}
activation {
    udev_sync = $udev
    udev_rules = $udev
    monitoring = 0
}
END
}
lvm_conf

# lvm2 finds nothing to complain about: every report has rows, with not one line on standard error and no warning. All in one
# process, for each costs half a second.
lvm2_content() { # VG
    local command rows at=/run/lvm2_content
    local commands=("vgck $1" "vgs -o all $1" "lvs -a -o all $1" "pvs -o all" "pvs --segments -o all")
    printf '%s\n' "${commands[@]/#[lpv]?s/& --noheadings}" >$at.commands
    lvm <$at.commands >$at.rows 2>$at.errors || fail "lvm2 failed: $(<$at.errors)"
    [ ! -s $at.errors ] || fail "lvm2 said: $(<$at.errors)"
    rows=$(<$at.rows)
    [[ ${rows,,} != *warning* && ${rows,,} != *partial* ]] || fail "lvm2 shows: $rows"
}

# Everything device-mapper knows, in an order that can be compared.
kernel_state() {
    dmsetup table
    dmsetup table --inactive
    dmsetup info -c --noheadings
}

# No operation has left a trace in the kernel: nothing suspended, no table waiting in the second slot.
kernel_at_rest() {
    local all name attributes
    all=$(dmsetup info -c --noheadings --separator ' ' -o name,attr)
    [ "$all" != "No devices found" ] || return 0
    while read -r name attributes; do
        [[ $attributes == L--[rw] ]] || fail "$name is suspended, or has an inactive table: $attributes"
    done <<<"$all"
}

# One checksum over all disks as they are below every cache.
disk_sum() {
    local dev
    for dev in /dev/ubd?; do dd "if=$dev" iflag=direct bs=1M status=none; done | md5sum
}

# Runs a dmsnap command that must succeed, and holds its work against lvm2, the kernel and its own check.
agreed() { # VG ARGUMENT...
    local vg=$1
    shift
    echo "$ dmsnap $*"
    dmsnap "$@"
    all_agree "$vg"
}

# The same after something that lvm2 did.
all_agree() { # VG
    dmsnap check "$1" || fail "dmsnap check finds something to do in $1"
    lvm2_content "$1"
    kernel_at_rest
}

# One value of one volume or snapshot as dmsnap lists it, and of one logical volume as lvm2 reports it.
listed() { # volume|snapshot VG/NAME KEY
    dmsnap -o json "$1" list "$2" | jq -r ".${1}s[0].$3"
}

reported() { # VG/NAME FIELD
    lvs --noheadings --nosuffix --units b -o "$2" "$1" | tr -d ' '
}

lvm2_knows_not() { # VG/NAME
    ! lvs "$1" >/dev/null 2>&1
}

# The names in a list of dmsnap's, in order.
names() { # volume|snapshot VG
    dmsnap -o json "$1" list "$2" | jq -r "[.${1}s[].name] | sort | join(\" \")"
}
