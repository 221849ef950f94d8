# disks: 64M
# timeout: 240

. "$TOP/tests/vm/refusals.sh"
small_world /dev/ubda

# No such thing.
refused 3 nosuch volume create nosuch/v --size 4M
refused 3 nosuch volume list nosuch
refused 3 nosuch volume remove vg/nosuch
refused 3 nosuch snapshot create nosuch/origin --name s --size 4M
refused 3 nosuch snapshot create vg/nosuch --name s --size 4M
refused 3 nosuch snapshot remove vg/nosuch
refused 3 nosuch activate nosuch
refused 3 nosuch deactivate vg/nosuch
refused 3 nosuch check nosuch
# One of several is missing: the others are not made either.
refused 3 nosuch snapshot create vg/origin vg/nosuch --name s --name t --size 4M
refused 3 nosuch snapshot remove vg/snap vg/nosuch

# The name is taken, by a volume or by a snapshot.
refused 4 origin volume create vg/origin --size 4M
refused 4 snap volume create vg/snap --size 4M
refused 4 plain snapshot create vg/origin --name plain --size 4M
refused 4 snap snapshot create vg/origin --name snap --size 4M

# Reserved for lvm2's own use.
for name in snapshot0 pvmove1 v_mlog v_mimage v_rimage v_rmeta v_tdata v_tmeta v_cdata v_cmeta v_corig v_vdata v_pmspare v_vorigin; do
    refused 2 "$name" volume create "vg/$name" --size 4M
done
refused 2 snapshot7 snapshot create vg/origin --name snapshot7 --size 4M
refused 2 s_tmeta snapshot create vg/origin --name s_tmeta --size 4M

# No name at all.
for name in -x . .. 'a b' 'a:b' 'ä' 'a@b' ''; do
    refused 2 "$name" snapshot create vg/origin "--name=$name" --size 4M
done
for name in '-x' '..' 'a b' 'a$b' ''; do
    refused 2 "$name" volume create --size 4M -- "vg/$name"
done
refused 2 origin snapshot create origin --name s
refused 2 vg/origin/x snapshot create vg/origin/x --name s

# One name for each origin.
refused 2 "" snapshot create vg/origin vg/plain --name one --size 4M
refused 2 "" snapshot create vg/origin --name one --name two --size 4M

# Device-mapper's names end at 127 bytes: hyphens count twice, and -real and -cow are put behind.
long=a$(printf -- '-a%.0s' {1..42})
refused 2 "$long" volume create "vg/$long" --size 4M
refused 2 "$long" snapshot create vg/origin --name "$long" --size 4M
long=$(printf 'a%.0s' {1..128})
refused 2 "$long" snapshot create vg/origin --name "$long" --size 4M

unchanged
all_agree vg
