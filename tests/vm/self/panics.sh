# timeout: 60
echo the guest is at work
echo 1 >/proc/sys/kernel/panic
echo c >/proc/sysrq-trigger
