# disks: 6G
# memory: 1024M
# timeout: 1800

# The same as crowd.sh; a failure where operations at once are not worth it.
strict=--strict
. "$TOP/benches/crowd.sh"
