#!/bin/sh
# stop.sh FOLDER: ends the jobs and the daemons that start.sh FOLDER has started, and nothing else.
folder=$1
export SLURM_CONF="$folder/slurm.conf"

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

if [ -e "$SLURM_CONF" ] && alive "$folder/slurmctld.pid"; then
    timeout 10 scancel --user="$(id -un)" 2>/dev/null
fi
for file in "$folder"/slurmd.*.pid "$folder"/slurmctld.pid "$folder"/munge.pid; do
    alive "$file" || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8; do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
    kill -0 "$pid" 2>/dev/null && kill -9 "$pid" 2>/dev/null
done
# Jobs, and the daemons that watch over one each, outlive a controller that has died: jobs are told by their surroundings, their
# watchers by their folder.
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    if { tr '\0' '\n' < "$process/environ" | grep -qx "SLURM_CONF=$SLURM_CONF" &&
         tr '\0' '\n' < "$process/environ" | grep -q '^SLURM_JOB_ID='; } 2>/dev/null; then
        kill -9 "$pid" 2>/dev/null
    fi
    case "$(readlink "$process/exe" 2>/dev/null) $(readlink "$process/cwd" 2>/dev/null)/" in
        *"/slurmstepd"*" $folder/"*) kill -9 "$pid" 2>/dev/null ;;
    esac
done
rm -f "$SLURM_CONF"
exit 0
