# disks: 256M 256M

mkdir -p /run/lvm
vgcreate -q vg /dev/ubda
vgs -q vg >/dev/null
remembers() { grep -q '^scan:' /run/lvm/hints; }
lvs vg
remembers || fail "LVM2 remembers nothing: $(cat /run/lvm/hints)"

# Volumes are none of its business.
dmsnap volume create vg/v --size 8M
dmsnap vg extend vg /dev/ubdb --dry-run
remembers || fail "a new volume made LVM2 forget"

forgotten() { # COMMAND...
    lvs vg >/dev/null
    remembers || fail "LVM2 remembers nothing before: $*"
    dmsnap "$@"
    ! remembers || fail "LVM2 still remembers after: $*"
    [ -e /run/lvm/newhints ] && [ ! -e /run/lvm/nohints ] || fail "after $*: $(ls /run/lvm)"
}
forgotten pv create /dev/ubdb
forgotten vg extend vg /dev/ubdb
equal "devices of vg" 2 "$(vgs --noheadings -o pv_count vg | tr -d ' ')"
forgotten vg reduce vg /dev/ubdb
forgotten pv remove /dev/ubdb
equal "devices" /dev/ubda "$(pvs --noheadings -o name | tr -d ' ')"
forgotten vg rename vg other
equal "groups" other "$(vgs --noheadings -o name | tr -d ' ')"
