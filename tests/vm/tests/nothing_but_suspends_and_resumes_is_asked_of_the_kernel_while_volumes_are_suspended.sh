# disks: 512M
# timeout: 100

# Under strace: from the first suspend of a switch to its last resume there are no system calls but these ioctls. This kernel has no clock
# that is read without one, so the clock is among them.
dmsnap vg create vg /dev/ubda
for name in one two; do
    dmsnap volume create vg/$name --size 16M
    mkfs.ext4 -q /dev/vg/$name
    mkdir $name
    mount /dev/vg/$name $name
done

alone() { # SUSPENDS ARGUMENT...
    local suspends=$1
    shift
    strace -qq -e signal=none -o trace "$DMSNAP" -q "$@" || fail "$* failed"
    awk -v wanted="$suspends" '
        # The rehearsal asks the same of no device.
        /DM_DEV_SUSPEND/ && !/name="/ { next }
        /DM_DEV_SUSPEND/ {
            match($0, /name="[^"]*"/)
            name = substr($0, RSTART, RLENGTH)
            if ($0 ~ /flags=DM_SUSPEND_FLAG/) { suspended[name]; suspends++ } else delete suspended[name]
        }
        length(suspended) && !/^(ioctl\([0-9]+, DM_DEV_SUSPEND|clock_gettime)/ { print "while suspended: " $0; failed = 1 }
        END { if (suspends != wanted) { print suspends " suspends"; failed = 1 } exit failed }
    ' trace || fail "$*: more than suspends and resumes"
    echo "$*: nothing but suspends and resumes"
}

alone 1 snapshot create vg/one --name first --size 4M
alone 2 snapshot create vg/one vg/two --name second --name of-two --size 4M
alone 2 volume extend vg/one --size +4M
alone 0 snapshot remove vg/first
alone 1 snapshot remove vg/second
