#!/bin/bash
# pypool: one array element of the run below. Its argument is the token of the submission, which
# names a directory in elements/. An element that had an agent already is left alone.
#SBATCH --output='/shared/run of 100%%/scheduler/%A_%a.out'
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --ntasks=1
#SBATCH --partition='long and wide'
#SBATCH --time=1-12:30:00
#SBATCH --mem=6144M
#SBATCH --cpus-per-task=8
exec /python /start.py '/shared/run of 100%' "elements/$1/${SLURM_ARRAY_TASK_ID}"
