#!/usr/bin/env bash
#SBATCH --job-name=evaluate
#SBATCH --time=01:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Evaluate a run and its repeats: results.json and figures in its directory.
#
#   sbatch -N 1 -n 4 --gpus-per-node=4 jobs/evaluate.sh runs/top_finetuned

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

resumable evaluate.py "$@"
