# Read by slurm-up, slurm-down and with-clusters: where the test Slurm lives, and when it is up.
# Everything it writes is below $home, so it touches neither /etc/slurm nor another Slurm on this machine.
# shellcheck shell=bash disable=SC2034
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

home=$clusters/slurm
conf=$home/slurm.conf
nodes="n1 n2 n3 n4"
daemons="munged slurmctld $nodes"
# shellcheck disable=SC2163 # its value is the name and the value
export "$slurm_environment"

# How many nodes would take a job now: idle, or at work.
nodes_in_service() {
    timeout 5 sinfo --noheader --Node --partition main --format '%T' 2>/dev/null |
        grep -cxE 'idle|mixed|allocated|completing' || true
}

is_up() {
    [ -z "$(missing_daemons)" ] && [ "$(nodes_in_service)" = 4 ]
}
