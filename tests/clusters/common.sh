# Read by every script here (slurm.sh and sge.sh read it first): what the clusters share.
# A cluster's own file says where it lives ($home), which processes it has ($daemons) and when it is up (is_up).
# shellcheck shell=bash disable=SC2034,SC2154

clusters=/var/lib/pypool-clusters
tester=${PYPOOL_TEST_USER:-pypool-tester} # the ordinary user who runs the suites
small_disk=$clusters/disk/$tester         # of 16 MiB, see disk-up

# What an environment must hold for the commands to reach our cluster and no other.
slurm_environment="SLURM_CONF=$clusters/slurm/slurm.conf"
sge_environment="SGE_ROOT=$clusters/sge SGE_CELL=default SGE_QMASTER_PORT=26820 SGE_EXECD_PORT=26821"

# An error names the script that met it.
die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "needs root: a cluster starts jobs in the name of other users."
}

# answers CLUSTER [SETTING...]: whether its commands get an answer, with these settings beside the environment.
answers() {
    local cluster=$1
    shift
    case $cluster in
        slurm) timeout 5 env "$@" sinfo ;;
        sge) timeout 5 env "$@" qstat ;;
    esac >/dev/null 2>&1
}

# ---- one script at a time

# Two that start daemons at once would start them twice, and two that install would meet in policy-rc.d.
# Daemons are started with the lock's descriptor closed (9>&-), they would hold it for ever.
take_turn() {
    mkdir -p "$home"
    exec 9>"$clusters/lock"
    flock -w 120 9 || die "another script that starts or stops a cluster holds $clusters/lock for two minutes. Look for it, then try again."
    # Jobs run as other users, who must get at what is below.
    umask 022
    chmod 755 "$clusters" "$home"
}

# ---- packages and user

# install_packages PACKAGE...: those that are missing.
install_packages() {
    local wanted="" package
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || wanted="$wanted $package"
    done
    [ -n "$wanted" ] || return 0
    command -v apt-get >/dev/null || die "needs the packages$wanted, and there is no apt-get here to install them."
    echo "Installing$wanted ..."
    forbid_service_starts
    # shellcheck disable=SC2086 # one word a package
    apt_install $wanted
    allow_service_starts
}

apt_install() {
    local log=$home/apt.log
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    } >"$log" 2>&1 9>&- </dev/null || {
        tail -n 20 "$log" >&2
        die "apt-get install $* failed; all it said is in $log."
    }
}

# Debian starts the services of a package as it installs it, unless this file says no.
policy=/usr/sbin/policy-rc.d
forbid_service_starts() {
    trap allow_service_starts EXIT
    # What a call that was killed put aside is the original, it must not be overwritten.
    [ ! -e $policy ] || [ -e $policy.pypool ] || mv $policy $policy.pypool
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
}

allow_service_starts() {
    trap - EXIT
    rm -f $policy
    [ ! -e $policy.pypool ] || mv $policy.pypool $policy
}

make_tester() {
    id "$tester" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$tester"
}

# ---- daemons

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

nothing_runs() {
    [ "$(missing_daemons | wc -w)" = "$(echo "$daemons" | wc -w)" ]
}

# run_daemon NAME COMMAND...: starts one that goes into the background by itself.
run_daemon() {
    local name=$1
    shift
    (cd / && PATH=$PATH:/usr/sbin:/sbin exec "$@") </dev/null >"$home/log/$name.start" 2>&1 9>&- || {
        cat "$home/log/$name.start" >&2
        die "could not start $name with: $*"
    }
}

# stop DAEMON: asks, and after ten seconds insists.
stop() {
    local pid deadline=$((SECONDS + 10))
    pid=$(pid_of "$1") || return 0
    kill "$pid" 2>/dev/null || true
    while pid_of "$1" >/dev/null; do
        [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.05
    done
    rm -f "$home/run/$1.pid"
}

# ---- jobs that outlive their daemons

# environment_has PID LINE...: whether the process was started with all these lines (NAME=value, or NAME= for any value).
environment_has() {
    local environment line
    environment=$(tr '\0' '\n' 2>/dev/null <"/proc/$1/environ") || return 1
    shift
    for line; do
        case $line in
            *=) grep -q "^$line" <<<"$environment" || return 1 ;;
            *) grep -qxF "$line" <<<"$environment" || return 1 ;;
        esac
    done
}

# Ends what job_processes of the cluster finds.
end_job_processes() {
    local round pids
    for round in 1 2 3 4 5 6 7 8 9 10; do
        pids=$(job_processes)
        [ -n "$pids" ] || return 0
        # Who watches over a job gets a moment to see its processes end, and then goes as well.
        # shellcheck disable=SC2086 # one word a process
        [ "$round" = 1 ] || kill -KILL $pids 2>/dev/null || true
        sleep 0.3
    done
    # shellcheck disable=SC2086
    ps -o pid,user,args -p "$(echo $pids | tr ' ' ,)" >&2 || true
    die "these processes of jobs do not end."
}
