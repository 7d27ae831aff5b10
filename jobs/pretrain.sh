#!/usr/bin/env bash
#SBATCH --job-name=pretrain
#SBATCH --time=06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Pre-train PET, one rank per GPU; resumes and requeues itself until it is complete.
#
#   sbatch --nodes=32 --ntasks-per-node=4 --gpus-per-node=4 jobs/pretrain.sh jetclass
#   OMNILEARN_RANKS=2 jobs/pretrain.sh jetclass --preset small        # without Slurm

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

resumable train.py "${@:-jetclass}"
