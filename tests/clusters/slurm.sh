# Read by slurm-up, slurm-down and with-slurm: where the test Slurm lives, and which processes are its daemons.
# Everything it writes is below $home, so it touches neither /etc/slurm nor another Slurm on this machine.
# shellcheck shell=bash disable=SC2034

home=/var/lib/pypool-clusters/slurm
conf=$home/slurm.conf
nodes="n1 n2 n3 n4"
daemons="munged slurmctld $nodes"
tester=${PYPOOL_TEST_USER:-pypool-tester} # the ordinary user who runs the suites
export SLURM_CONF=$conf

# An error names the script that met it.
die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "needs root: the nodes start jobs in the name of other users."
}

# One at a time: two that start daemons at once would start them twice.
# Daemons are started with the lock's descriptor closed (9>&-), they would hold it for ever.
take_turn() {
    mkdir -p "$home"
    exec 9>"$home/lock"
    flock -w 120 9 || die "another slurm-up or slurm-down holds $home/lock for two minutes. Look for it, then try again."
}

# pid_of DAEMON: prints its process id, fails if it does not run.
# A pid file alone proves nothing (the number may belong to somebody else by now): the process
# must have our directory in its command line, which only our daemons do.
pid_of() {
    local pid
    pid=$(cat "$home/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$home/" || return 1
    echo "$pid"
}

# Prints the daemons that do not run.
missing_daemons() {
    local daemon
    for daemon in $daemons; do
        pid_of "$daemon" >/dev/null || echo "$daemon"
    done
}

# How many nodes would take a job now: idle, or at work.
nodes_in_service() {
    timeout 5 sinfo --noheader --Node --partition main --format '%T' 2>/dev/null |
        grep -cxE 'idle|mixed|allocated|completing' || true
}

slurm_is_up() {
    [ -z "$(missing_daemons)" ] && [ "$(nodes_in_service)" = 4 ]
}
