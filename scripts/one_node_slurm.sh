#!/usr/bin/env bash
# A Slurm of one node on this computer's loopback, from Debian's packages, to try `sublingual study run --profile slurm`.
# As root: it installs slurmctld, slurmd and slurm-client where they are not there, without starting their services, and links
# its slurm.conf to where jobs look for it: the engine's plugin clears SLURM_CONF in them.
#     scripts/one_node_slurm.sh FOLDER
#     sublingual study run --scale smoke --profile FOLDER/profile
#     scripts/one_node_slurm.sh FOLDER stop
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
conf=/etc/slurm/slurm.conf
if [ "${2:-start}" = stop ]; then
    for daemon in slurmd slurmctld; do
        [ ! -f "$folder/$daemon.pid" ] || kill "$(cat "$folder/$daemon.pid")" || true
    done
    [ "$(readlink $conf)" != "$folder/slurm.conf" ] || rm $conf
    exit
fi
if ! command -v slurmctld >/dev/null; then
    policy=/usr/sbin/policy-rc.d # Debian asks it before it starts a service
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && trap 'rm -f $policy' EXIT; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client
fi
node=$(hostname -s)
mkdir -p "$folder/state" "$folder/spool"
cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ReturnToService=2
MpiDefault=none
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(free -m | awk '/^Mem:/ {print $2 - 500}') State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
[ -e $conf ] || ln -sf "$folder/slurm.conf" $conf
[ "$(readlink -f $conf)" = "$folder/slurm.conf" ] || {
    echo "$conf is that of another Slurm: this one cannot stand beside it" >&2
    exit 1
}
mkdir -p "$folder/profile"
cat >"$folder/profile/config.yaml" <<CONF
executor: slurm
jobs: $(nproc)
latency-wait: 30
slurm-no-account: true
slurm-status-command: squeue
slurm-init-seconds-before-status-checks: 2
seconds-between-status-checks: 5
CONF
export SLURM_CONF=$folder/slurm.conf
slurmctld -c
slurmd -c
for _ in $(seq 30); do
    sinfo --noheader --format %T 2>/dev/null | grep -q idle && { sinfo; exit; }
    sleep 1
done
echo "the node is not idle after 30 s; see $folder/slurmctld.log and $folder/slurmd.log" >&2
exit 1
