#!/usr/bin/env bash
#SBATCH --job-name=finetune
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Adapt PET to a dataset, from a backbone or from scratch; an array trains repeats.
#
#   sbatch -N 1 -n 4 --gpus-per-node=4 jobs/finetune.sh top --backbone runs/jetclass
#   sbatch --array=0-4 ... jobs/finetune.sh top --backbone runs/jetclass   # seeds 0 to 4
#
# Repeats are written to runs/<name>/seed<k>, like those of finetune.py --repeats, and evaluated
# together.

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

repeat=()
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    name=${1:?the dataset}_scratch
    runs=runs
    for ((i = 1; i <= $#; i++)); do
        next=$((i + 1))
        case "${!i}" in
            --backbone | --released-weights) name=$1_finetuned ;;
        esac
        case "${!i}" in
            --runs) runs=${!next} ;;
        esac
    done
    for ((i = 1; i <= $#; i++)); do
        next=$((i + 1))
        if [ "${!i}" = --name ]; then name=${!next}; fi
    done
    # the last of two equal flags counts
    repeat=(--runs "$runs/$name" --name "seed$SLURM_ARRAY_TASK_ID" --seed "$SLURM_ARRAY_TASK_ID")
fi
resumable finetune.py "$@" "${repeat[@]}"
