#!/bin/sh
# stop.sh FOLDER: ends the jobs and the daemons that start.sh FOLDER has started, and nothing else.
folder=$1
export SLURM_CONF="$folder/slurm.conf"
[ -e "$SLURM_CONF" ] && timeout 10 scancel --user="$(id -un)" 2>/dev/null
for file in "$folder"/slurmd.*.pid "$folder"/slurmctld.pid "$folder"/munge.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
    kill -0 "$pid" 2>/dev/null && kill -9 "$pid" 2>/dev/null
done
rm -f "$folder/slurm.conf"
exit 0
