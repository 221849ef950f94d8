# disks: 256M 256M

dmsnap vg create a /dev/ubda
dmsnap vg create b /dev/ubdb
dmsnap volume create a/v --size 16M
status=0
dmsnap -o json volume remove a/v b/missing >/tmp/answer || status=$?
equal "the exit status" 3 $status
[ "$(names volume a)" = v ] || jq -e '.. | strings | select(contains("a/v"))' /tmp/answer ||
    fail "a/v is gone, and the answer says nothing of it: $(cat /tmp/answer)"
