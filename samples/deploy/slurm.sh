#!/bin/bash
# Sixteen tasks, each with a part of the photos in this folder; then one list of all:
#
#     job=$(sbatch --parsable slurm.sh) && sbatch --dependency="afterany:$job" --wrap 'batch-removebg merge cutouts'
#
# `sbatch --array=3,7 slurm.sh` does two of them again, since the number of shards stands below; in an array that is always
# whole, `--shard auto` is the same.
#SBATCH --job-name=cutouts
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
exec batch-removebg run photos --out cutouts --shard "$SLURM_ARRAY_TASK_ID/16" --progress none
