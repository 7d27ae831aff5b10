#!/usr/bin/env bash
#SBATCH --job-name=aspen_study
#SBATCH --time=06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# The study of Aspen Open Jets: what a backbone of collider data saves; a cell per array element.
#
#   one=$(sbatch --parsable --gpus=1 jobs/aspen_study.sh backbones)
#   two=$(sbatch --parsable --gpus=1 --dependency=afterok:$one --array=0-47 jobs/aspen_study.sh cells)
#   sbatch --dependency=afterok:$two jobs/aspen_study.sh summary
#   jobs/aspen_study.sh all --preset small --workers 2                        # without Slurm
#
# `python -m benchmarks aspen --preset full --list` numbers the cells. What is finished is not
# repeated and a training that was stopped is resumed, so a job may be submitted again. Flags go to
# `python -m benchmarks aspen`; without --preset the study is the paper's.

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
OMNILEARN_RANKS=1 # the trainings of the study take one process each
cell=()
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then cell=(--cell "$SLURM_ARRAY_TASK_ID"); fi
resumable -m benchmarks aspen --preset full --stage "$stage" "${cell[@]}" "$@"
