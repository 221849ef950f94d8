# timeout: 8
echo the guest is at work
sleep 1000
