#!/usr/bin/env bash
#SBATCH --job-name=anomaly
#SBATCH --time=06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Search for a resonance in the LHC Olympics: cells of injected signal and repeats as an array.
#
#   sbatch --array=0-69 -N 1 -n 4 --gpus-per-node=4 jobs/anomaly.sh 0,500,600,800,1000,2000,5000 10 \
#       --idealised --backbone runs/jetclass
#   sbatch -N 1 -n 4 --gpus-per-node=4 jobs/anomaly.sh 0 1 --stage sample ...    # CATHODE: no array
#
# Element k trains cell k: all signals of the first repeat, then those of the next one. Without an
# array all cells are trained in turn. For CATHODE, sample the reference first, and with
# --sideband-weights or --simulation train the weights (--stage weight), then submit the array with
# --stage classify.

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

signals=${1:-} repeats=${2:-}
case "$repeats" in
    '' | *[!0-9]*)
        echo "error: the first arguments are '$signals' and '$repeats'; expected numbers of signal" \
            "events, like 0,500,1000, and a number of trainings of each." >&2
        exit 2
        ;;
esac
shift 2
cell=(--signal "$signals" --repeats "$repeats")
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    IFS=, read -ra values <<<"$signals"
    if [ "$SLURM_ARRAY_TASK_ID" -ge $((${#values[@]} * repeats)) ]; then
        echo "error: element $SLURM_ARRAY_TASK_ID of the array has no cell; expected" \
            "--array=0-$((${#values[@]} * repeats - 1))." >&2
        exit 2
    fi
    cell=(--signal "${values[SLURM_ARRAY_TASK_ID % ${#values[@]}]}" --seed $((SLURM_ARRAY_TASK_ID / ${#values[@]})))
fi
resumable finetune.py lhco "$@" "${cell[@]}"
