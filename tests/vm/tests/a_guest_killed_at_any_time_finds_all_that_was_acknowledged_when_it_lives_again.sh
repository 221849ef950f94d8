# disks: 128M 128M 64M
# kills: 5
# timeout: 240

. "$TOP/tests/vm/workers.sh"
live_on 0
