#!/usr/bin/env bash
#SBATCH --job-name=unfold
#SBATCH --time=06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Unfold with OmniFold, from a backbone or from scratch.
#
#   sbatch -N 1 -n 4 --gpus-per-node=4 jobs/unfold.sh --backbone runs/jetclass

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

resumable finetune.py omnifold "$@"
