#!/bin/bash
# The sweep on a Slurm cluster of one machine, with a node lost on the way, against the same sweep run here: the same trajectories, bit for bit.
#
#     sudo tests/cluster/run.sh        as root on Debian 12, in a checkout with its .venv; 5 minutes on two cores
#
# Installs munge, slurmctld and slurmd where they are missing, and uses /etc/slurm/slurm.conf (which must not exist) while it runs. Everything else (configuration, keys, sockets, spool, results) lies in a
# temporary folder, the daemons run without systemd, and only they are ended. KEEP=1 leaves the folder.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON=$ROOT/.venv/bin/python
WORK=$(mktemp -d /tmp/cluster.XXXXXX)
HOST=$(hostname -s)
NODES=(n1 n2)
PIDS=()
SYSTEM=/etc/slurm/slurm.conf # where commands look when the environment does not say: Snakemake's plugin hands no SLURM_CONF to its jobs
export SLURM_CONF=$WORK/slurm.conf NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1

stop() {
    status=$?
    if [ -n "${run:-}" ]; then # first what submits jobs, then the jobs, then the daemons
        kill "$run" 2>/dev/null || true
        scancel --user root --quiet 2>/dev/null || true
        for _ in $(seq 50); do [ -n "$(squeue -h 2>/dev/null)" ] || break; sleep 0.2; done
    fi
    sleep 1
    for pid in $(printf '%s\n' "${PIDS[@]}" | tac); do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for signal in TERM KILL; do
        for pid in $(ours); do echo "ending what is left: $pid $(tr '\0' ' ' < "/proc/$pid/cmdline" | cut -c 1-80)"; kill -$signal "$pid" 2>/dev/null || true; done
        sleep 1
    done
    [ "$(readlink "$SYSTEM")" != "$SLURM_CONF" ] || rm "$SYSTEM"
    if [ $status != 0 ]; then tail -n 8 "$WORK"/*.log "$WORK"/*/snakemake.out 2>/dev/null || true; fi
    [ -n "${KEEP:-}" ] && echo "kept: $WORK" || rm -rf "$WORK"
    exit $status
}
trap stop EXIT
trap 'exit 143' INT TERM

ours() { # processes at work in our folder: jobs of the node that was set down are nobody's children
    for cwd in /proc/[0-9]*/cwd; do
        case "$(readlink "$cwd")" in "$WORK"/*) cwd=${cwd#/proc/}; echo "${cwd%/cwd}" ;; esac
    done
}

say() { echo "$(date +%T) $*"; }

wait_for() { # seconds, what, command…
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -gt $end ]; then echo "gave up waiting until $what" >&2; return 1; fi
        sleep 0.2
    done
}

# Packages
[ "$(id -u)" = 0 ] || { echo "run me as root" >&2; exit 1; }
if ! command -v slurmctld slurmd munged >/dev/null; then
    say "installing Slurm"
    printf '#!/bin/sh\nexit 101\n' > "$WORK/policy" # packages must not start daemons of their own
    [ -e /usr/sbin/policy-rc.d ] || { install -m 755 "$WORK/policy" /usr/sbin/policy-rc.d; made_policy=1; }
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends munge slurmctld slurmd slurm-client
    [ -z "${made_policy:-}" ] || rm /usr/sbin/policy-rc.d
fi
if ! "$PYTHON" -c 'import snakemake_executor_plugin_slurm' 2>/dev/null; then
    say "installing Snakemake's plugin"
    "$PYTHON" -m pip install --quiet --constraint "$ROOT/constraints.txt" --target "$WORK/plugin" --no-deps \
        snakemake-executor-plugin-slurm snakemake-executor-plugin-slurm-jobstep throttler
    export PYTHONPATH=$WORK/plugin
fi

# The cluster
[ ! -e $SYSTEM ] || { echo "$SYSTEM exists: this machine belongs to a cluster already" >&2; exit 1; }
cat > "$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=17002
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$WORK/munge.socket
CredType=cred/munge
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool-%n
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd-%n.pid
SlurmctldLogFile=$WORK/slurmctld.log
SlurmdLogFile=$WORK/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
ReturnToService=0
MinJobAge=3600
KillWait=5
NodeName=n1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=17003 CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=17004 CPUs=1 RealMemory=4000
PartitionName=compute Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
mkdir -p /etc/slurm && ln -sfn "$SLURM_CONF" $SYSTEM
mkdir -p "$WORK"/{state,spool-n1,spool-n2}
chmod 755 "$WORK"
(umask 077 && head -c 1024 /dev/urandom > "$WORK/munge.key")
munged --foreground --force --key-file="$WORK/munge.key" --socket="$WORK/munge.socket" --pid-file="$WORK/munged.pid" \
    --seed-file="$WORK/munged.seed" --log-file="$WORK/munged.log" > "$WORK/munged.out.log" 2>&1 &
PIDS+=($!)
wait_for 20 "munge answers" munge --no-input --socket="$WORK/munge.socket"
slurmctld -D -i > "$WORK/slurmctld.out.log" 2>&1 &
PIDS+=($!)
for node in "${NODES[@]}"; do
    slurmd -D -N "$node" > "$WORK/$node.out.log" 2>&1 &
    PIDS+=($!)
done
wait_for 60 "both nodes are idle" bash -c '[ "$(sinfo -h -o "%N %t" -N | grep -c idle)" = 2 ]'
say "$(slurmd -V): $(sinfo -h -N -o '%N %t' | paste -sd, -)"

# The same sweep twice, each in a folder of its own with the project's files
sweep() { # name, options of Snakemake…
    local place=$WORK/$1
    shift
    mkdir -p "$place"
    ln -sfn "$ROOT"/{Snakefile,notebooks,data,book,glasslib,profiles,_config.yml,tests} "$place/"
    cd "$place"
    exec "$PYTHON" -m snakemake --config profile=tests/cluster/sweep.yml --until simulate "$@" > snakemake.out 2>&1
}

say "the sweep on this machine"
(sweep local --cores 2)
say "the sweep on Slurm"
(sweep slurm --profile profiles/slurm --jobs 4 --default-resources slurm_partition=compute mem_mb=1000 runtime=30 \
    --latency-wait 10 --slurm-no-account --slurm-status-command squeue --slurm-init-seconds-before-status-checks 5 \
    --slurm-keep-successful-logs) &
run=$!

# A node is lost while its job has a checkpoint and no result
TRAJECTORIES=$WORK/slurm/runs/sweep/trajectories
on_n1() { # a simulation that runs on n1 has left a checkpoint
    job=$(squeue -h -w n1 -t R -o %A | head -1)
    [ -n "$job" ] && compgen -G "$TRAJECTORIES/*.run/*" && kill -0 $run
}
wait_for 400 "a simulation is under way on n1" on_n1
sleep 2
lost=$(squeue -h -w n1 -t R -o %A | head -1)
say "n1 goes down under job $lost; unfinished: $(cd "$TRAJECTORIES" && echo *.run)"
scontrol update nodename=n1 state=down reason=test
sleep 5
say "job $lost is now $(squeue -h -t all -j "$lost" -o %T), nodes: $(sinfo -h -N -o '%N %t' | paste -sd, -)"
scontrol update nodename=n1 state=resume
say "n1 is back: $(sinfo -h -N -o '%N %t' | paste -sd, -)"
wait $run
say "jobs: $(squeue -h -t all -o '%A %T' | paste -sd, -)"
say "$(grep -o "requeue job.*" "$WORK/slurmctld.log")"
say "$(grep -rho "going on at step.*" "$WORK/slurm/.snakemake/slurm_logs")" # or fail: it must go on, not begin again
"$PYTHON" "$ROOT/tests/cluster/compare.py" "$WORK/local/runs/sweep/trajectories" "$TRAJECTORIES"
say "the cluster's trajectories are those of this machine"
