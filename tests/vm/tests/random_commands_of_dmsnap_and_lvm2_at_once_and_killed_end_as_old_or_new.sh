# disks: 128M 128M 64M
# timeout: 240

. "$TOP/tests/vm/workers.sh"
live_on "$(short_or_long 25 120)"
