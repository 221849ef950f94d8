# timeout: 60
echo the guest is at work
false | cat
echo this must not be reached
