# disks: 4G
# memory: 640M
# timeout: 600

. "$TOP/tests/vm/busy.sh"
fifty_snapshots xfs
