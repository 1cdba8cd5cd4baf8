#!/bin/sh
# start.sh FOLDER PORT: SLURM with two nodes, io and big, on this machine, all of it below FOLDER and on 127.0.0.1.
# PORT and the four after it are taken. Nothing of the system's own SLURM or MUNGE is touched. stop.sh FOLDER ends it.
set -eu
folder=$1
port=$2
here=$(dirname "$0")
name=$(hostname -s)
user=$(id -un)
half=$(awk '/MemTotal/ { print int($2 / 1024 * 0.4) }' /proc/meminfo)
mkdir -p "$folder/state" "$folder/spool/io" "$folder/spool/big" "$folder/munge"
chmod 700 "$folder/munge"

# MUNGE of our own: SLURM believes only what is sealed with this key
dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
chmod 600 "$folder/munge/key"
munged --force --socket="$folder/munge/socket" --key-file="$folder/munge/key" --pid-file="$folder/munge.pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --num-threads=2

# Two nodes of one machine, told apart by name and port: Debian's slurmd is built with --enable-multiple-slurmd.
# SLURM counts GPUs by device files and opens none: two devices that every machine has stand for them.
cat > "$folder/gres.conf" <<G
NodeName=big Name=gpu File=/dev/null
NodeName=big Name=gpu File=/dev/zero
G
cat > "$folder/slurm.conf" <<C
ClusterName=scichunk
SlurmctldHost=$name(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
SlurmctldPort=$port
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
KillWait=5
OverTimeLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
MpiDefault=none
NodeName=io  NodeHostname=$name NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4 RealMemory=$half State=UNKNOWN
NodeName=big NodeHostname=$name NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4 RealMemory=$half Gres=gpu:2 State=UNKNOWN
PartitionName=io     Nodes=io     MaxTime=INFINITE State=UP PriorityTier=1 Default=YES
PartitionName=big    Nodes=big    MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=all    Nodes=io,big MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=io,big MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
C
export SLURM_CONF="$folder/slurm.conf"
slurmctld
slurmd -N io
slurmd -N big

# If whoever started this dies without stopping it, it stops by itself.
parent=$PPID
(
    trap '' HUP
    while kill -0 "$parent" 2>/dev/null && [ -e "$folder/slurm.conf" ]; do sleep 2; done
    [ ! -e "$folder/slurm.conf" ] || sh "$here/stop.sh" "$folder"
) >/dev/null 2>&1 </dev/null &

count=0
until [ "$(timeout 5 sinfo --noheader -N -p all -o %T 2>/dev/null | grep -c idle)" -ge 2 ]; do
    count=$((count + 1))
    [ "$count" -lt 120 ] || { echo "the nodes did not come up:" >&2; tail -n 20 "$folder"/*.log >&2; exit 1; }
    sleep 0.25
done
timeout 5 sinfo -N -o "%N %P %T %c %m %G"
