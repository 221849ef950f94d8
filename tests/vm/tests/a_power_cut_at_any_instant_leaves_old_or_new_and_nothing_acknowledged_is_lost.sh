# disks: 49M 512M 49M 64M
# timeout: 600

. "$TOP/tests/vm/recorded.sh"
record
operation volume create vg/v --size 4M
cuts s1 vg/origin --name s1 --size 3M
cuts s2 vg/origin --name s2 --size 4M --chunk-size 16k
cuts g1 vg/origin vg/v --name g1 --name g2 --size 4M
operation volume extend vg/v --size +4M
operation volume rename vg/v w
operation deactivate vg/w
operation activate vg/w
operation snapshot remove vg/s2
operation snapshot remove vg/g2
operation volume remove vg/w
operation volume create vg/striped --size 4M --stripes 2
operation volume extend vg/origin --size +2M
operation snapshot remove vg/s1 vg/g1
recorded
case $DMSNAP_LONG in
    '') replay 10 ;;
    soak) replay 60 ;;
    *) replay all ;;
esac
