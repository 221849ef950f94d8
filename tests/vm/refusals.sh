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
    kernel_state >/run/kernel.before
    disk_sum >/run/disks.before
}

unchanged() {
    kernel_state >/run/kernel.after
    disk_sum >/run/disks.after
    diff /run/kernel.before /run/kernel.after || fail "the kernel's state has changed"
    diff /run/disks.before /run/disks.after || fail "the disks have changed"
}

# The command is refused with the status and the words, in plain text and as JSON, and nothing has changed.
refused() { # STATUS WORDS ARGUMENT...
    local status=$1 words=$2 kinds=('' internal usage not_found already_exists no_space in_use refused locked) got=0
    shift 2
    fails_with "$status" "$words" dmsnap "$@"
    dmsnap -o json "$@" >/run/answer 2>/dev/null || got=$?
    equal "exit status with JSON" "$status" "$got"
    equal "kind in JSON" "${kinds[status]}" "$(jq -r .error.kind /run/answer)"
    [[ $(jq -r .error.message /run/answer) == *"$words"* ]] || fail "the JSON does not say '$words': $(cat /run/answer)"
    unchanged
}
