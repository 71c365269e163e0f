#!/bin/bash
# pypool: one array element of the run below, workers: 4. Its argument is the token of the
# submission, which names a directory in elements/. An element that had an agent is left alone.
#$ -S /bin/bash
#$ -V
#$ -cwd -j y -r n
#$ -o ':/shared/run of 100%/scheduler/$JOB_ID.$TASK_ID.out'
#$ -q 'long and wide'
#$ -P 'physics 101'
#$ -pe smp 8
#$ -l h_rt=131400
#$ -l h_vmem=768M
#$ -l gpu=4
#$ -R y
#$ -p -5
trap 'case $? in 99) ;& 100) exit 1 ;; esac' EXIT # Grid Engine starts 99 again and keeps 100
pypool_element="elements/$1/$((SGE_TASK_ID - 1))"
set -- # what setup reads would take it for its own
trap '' USR1 # "the end is near" is for the agent
module load gcc
export CACHE="$TMPDIR"

for pypool_word in TERM USR1 USR2 XCPU; do trap "kill -$pypool_word \$! 2>/dev/null || :" $pypool_word; done
exec /python /start.py '/shared/run of 100%' "$pypool_element" &
agent=$!; until wait "$agent"; ended=$?; ! kill -0 "$agent" 2>/dev/null; do :; done
{ : # none of these that fails ends this shell, whatever was set before
cp -r results /shared

} || :; exit "$ended"
