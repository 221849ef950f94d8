# timeout: 60
echo the guest is at work
equal "one and one" 2 3
echo this must not be reached
