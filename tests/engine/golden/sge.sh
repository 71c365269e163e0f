#!/bin/bash
# pypool: one array element of the run below, workers: 1. Its argument is the token of the
# submission, which names a directory in elements/. An element that had an agent is left alone.
#$ -S /bin/bash
#$ -V
#$ -cwd -j y -r n
#$ -o ':/shared/run of 100%/scheduler/$JOB_ID.$TASK_ID.out'
trap 'case $? in 99) ;& 100) exit 1 ;; esac' EXIT # Grid Engine starts 99 again and keeps 100
pypool_element="elements/$1/$((SGE_TASK_ID - 1))"
set -- # what setup reads would take it for its own
trap '' USR1 # "the end is near" is for the agent

exec /python /start.py '/shared/run of 100%' "$pypool_element"
