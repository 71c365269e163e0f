# Read by sge-up, sge-down and with-clusters: where the test Grid Engine lives, and when it is up.
# Everything it writes is below $home, so the cell that Debian's packages make for themselves, or another
# Grid Engine on this machine, is left alone.
# shellcheck shell=bash disable=SC2034
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

home=$clusters/sge
programs=/usr/lib/gridengine # Debian's place; what is in PATH are wrappers that only set what we set anyway
daemons="qmaster execd"
# shellcheck disable=SC2163,SC2086 # one word a setting, each the name and the value
export $sge_environment

# How many queues would start a job now: their host has reported, and no letter behind says what is wrong.
queues_in_service() {
    timeout 5 qstat -f 2>/dev/null | awk '$1 ~ /@/ && $4 != "-NA-" && NF == 5' | wc -l
}

is_up() {
    [ -z "$(missing_daemons)" ] && [ "$(queues_in_service)" = 2 ]
}
