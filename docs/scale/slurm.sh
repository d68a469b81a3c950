#!/bin/bash
#SBATCH --job-name=cleannet
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
# A task sees all GPUs of its node, and JAX takes the one of its number.
#SBATCH --gpu-bind=none
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
# Before the time is up all processes are asked to stop, and save.
#SBATCH --signal=TERM@120

# DATA and RUN are folders on a file system that all nodes see. A batch of 32 videos is one
# for each process.
srun --kill-on-bad-exit=1 cleannet train --dataset thumos14 --data "$DATA" --out "$RUN" --batch-size 32 --distributed && exit

# Stopped, one of them has died, or a mistake: the same command goes on, five times at most.
[ "${SLURM_RESTART_COUNT:-0}" -lt 5 ] && scontrol requeue "$SLURM_JOB_ID"
