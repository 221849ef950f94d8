# Test 23 of those that an independent implementation must pass. lvm2 lets them overflow.
# disks: 256M
# timeout: 180

fill() { dd if=/dev/urandom of=/dev/vg/o oflag=direct bs=1M count=24 status=none; }
sum() { dd if="$1" iflag=direct bs=1M status=none | md5sum; }

dmsnap vg create vg /dev/ubda
dmsnap volume create vg/o --size 32M
fill
dmsnap snapshot create vg/o --name s
cut=$(sum /dev/vg/o)
fill
later=$(sum /dev/vg/o)
dmsnap snapshot create vg/o --name small --size 4M --chunk-size 16k
lvcreate -q -y -s -n theirs -L 4M vg/o
dmsnap snapshot create vg/o --name roomy --size 30M
dmsnap volume create vg/full --size 100%FREE
fails_with 5 "would overflow the snapshot vg/" dmsnap snapshot rollback vg/s --merge
equal "the volume" "$later" "$(sum /dev/vg/o)"
equal "merging" false "$(listed snapshot vg/s merging)"
dmsnap volume remove vg/full

dmsnap -o json snapshot rollback vg/s --merge --wait | tee /run/said
[[ $(</run/said) == *"the store of vg/small is extended"* && $(</run/said) == *"vg/theirs is extended"* ]] || fail "nothing is said"
equal "the volume" "$cut" "$(sum /dev/vg/o)"
for name in small theirs roomy; do
    equal "state of $name" active "$(listed snapshot vg/$name state)"
    equal "content of $name" "$later" "$(sum /dev/vg/$name)"
done
equal "the store that had room" $((32 << 20)) "$(listed snapshot vg/roomy cow_size_bytes)"
all_agree vg
