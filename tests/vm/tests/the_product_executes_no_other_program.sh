# disks: 256M 256M
# timeout: 180

# Each command that works on devices, under strace: the one execve is that of dmsnap itself.
alone() { # ARGUMENT...
    echo "$ dmsnap $*"
    strace -f -qq -e trace=execve,execveat -e signal=none -o trace "$DMSNAP" "$@" || fail "it failed with status $?"
    equal "programs executed" 1 "$(grep -c exec trace)"
}

alone pv create /dev/ubda
alone pv list
alone vg create vg /dev/ubda
alone vg extend vg /dev/ubdb
alone vg list
alone vg reduce vg /dev/ubdb
alone pv remove /dev/ubdb
alone volume create vg/origin --size 32M
alone volume list
mkfs.ext4 -q /dev/vg/origin
mkdir origin
mount /dev/vg/origin origin
alone snapshot create vg/origin --name snap
alone snapshot create vg/origin --name small --size 8M --read-only
alone volume extend vg/origin --size +8M --resize-fs
alone volume rename vg/small less
alone snapshot list
alone -o json snapshot list vg/snap
alone -o yaml volume list vg
alone --dry-run snapshot create vg/origin --name never
alone check
alone inspect /dev/ubda
alone repair vg
alone snapshot remove vg/less
umount origin
alone deactivate vg
alone activate
alone snapshot remove vg/snap
alone volume remove vg/origin
alone check vg
alone vg rename vg other
alone vg remove other
