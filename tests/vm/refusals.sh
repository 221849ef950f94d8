# For the tests of bad input: a small world, and refusals that must leave it as it was, on disk and in the kernel.

# A volume group vg with a mounted origin, a snapshot of it, and a plain volume; on a disk of 64 MiB 12 MiB stay free.
small_world() { # DEV...
    dmsnap vg create vg "$@"
    dmsnap volume create vg/origin --size 16M
    dmsnap volume create vg/plain --size 24M
    still_ext4 /dev/vg/origin
    mkdir -p origin
    mount -o noatime /dev/vg/origin origin
    dmsnap snapshot create vg/origin --name snap --size 8M
    remember
}

# A file system that writes nothing on its own.
still_ext4() { # DEV
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$1"
}

# What must not change. To be called again after every intended change.
remember() {
    sync
    activity >/run/activity.before
    kernel_state >/run/kernel.before
    disk_sum >/run/disks.before
}

# Checked at the end of a script, and before each intended change.
unchanged() {
    kernel_state >/run/kernel.after
    disk_sum >/run/disks.after
    diff /run/kernel.before /run/kernel.after || fail "the kernel's state has changed"
    diff /run/disks.before /run/disks.after || fail "the disks have changed"
}

# Requests that a disk has had for writing, discarding and flushing, and what device-mapper has: cheap enough to be asked for each time.
activity() {
    local disk fields
    for disk in /sys/block/ubd?; do
        read -ra fields <"$disk/stat"
        echo "${disk##*/} ${fields[4]} ${fields[6]} ${fields[11]-} ${fields[15]-}"
    done
    dmsetup info -c --noheadings
}

# The command is refused with the status and the words, and nothing has been written or changed.
refused() { # STATUS WORDS ARGUMENT...
    local status=$1 words=$2 kinds=('' internal usage not_found already_exists no_space in_use refused locked)
    shift 2
    fails_with "$status" "$words" dmsnap -o json "$@"
    # shellcheck disable=SC2154 # fails_with says it
    [[ $said == *"\"kind\": \"${kinds[status]}\""* ]] || fail "the kind is not ${kinds[status]}"
    activity >/run/activity.after
    cmp /run/activity.before /run/activity.after || {
        diff /run/activity.before /run/activity.after
        fail "something was written, or device-mapper has changed"
    }
}
