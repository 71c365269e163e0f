#!/bin/bash
# pypool: one array element of the run below, workers: 1. Its argument is the token of the
# submission, which names a directory in elements/. An element that had an agent is left alone.
#SBATCH --output='/shared/run of 100%%/scheduler/%A_%a.out'
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --ntasks=1
#SBATCH --signal=B:USR1@30
pypool_element="elements/$1/${SLURM_ARRAY_TASK_ID}"
set -- # what setup reads would take it for its own
trap '' USR1 # "the end is near" is for the agent

exec /python /start.py '/shared/run of 100%' "$pypool_element"
