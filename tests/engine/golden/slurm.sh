#!/bin/bash
# pypool: an array element of the run below. By hand: see how slurm is asked in the docs;
# an element that had an owner leaves at once.
#SBATCH --output='/work/run of 100%%/scheduler/%A_%a.out'
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --ntasks=1
exec /python /start.py '/work/run of 100%' "elements/$1/${SLURM_ARRAY_TASK_ID}"

