#!/usr/bin/env bash
#SBATCH --job-name=aspen_study
#SBATCH --time=06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# The study of Aspen Open Jets, with a cell per element of the array.
#
#   backbones=$(sbatch --parsable --gpus=4 jobs/aspen_study.sh backbones --ranks 4)
#   small=$(sbatch --parsable --gpus=1 --dependency=afterok:$backbones --array=0-31 jobs/aspen_study.sh cells)
#   large=$(sbatch --parsable --gpus=4 --dependency=afterok:$backbones --array=32-47 jobs/aspen_study.sh cells --ranks 4)
#   sbatch --dependency=afterok:$small:$large jobs/aspen_study.sh summary
#   jobs/aspen_study.sh all --preset small --workers 2                        # without Slurm
#
# `python -m benchmarks aspen --preset full --list` numbers the cells; those of more than 100 000
# jets start at 32. A job is one task; --ranks starts that many processes in it, one per GPU. A
# finished training is not repeated and a stopped one is resumed, so a job may be submitted again.
# Flags go to `python -m benchmarks aspen`; without --preset the settings are those of the paper.
# jobs/reproduce.sh trains the backbones on several nodes instead.

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

stage=${1:-}
case "$stage" in
    all | backbones | cells | summary) shift ;;
    *)
        echo "error: the first argument is '$stage'; expected all, backbones, cells or summary." >&2
        exit 2
        ;;
esac
OMNILEARN_RANKS=1 # one process, which starts the trainings
cell=()
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then cell=(--cell "$SLURM_ARRAY_TASK_ID"); fi
resumable -m benchmarks aspen --preset full --stage "$stage" "${cell[@]}" "$@"
