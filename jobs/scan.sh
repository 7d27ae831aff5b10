#!/usr/bin/env bash
#SBATCH --job-name=scan
#SBATCH --time=02:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Train on a dataset once per value of one setting, each in an element of an array.
#
#   sbatch --array=0-2 -N 1 -n 4 --gpus-per-node=4 jobs/scan.sh top train-jets=1000,3000,10000 \
#       --backbone runs/jetclass
#
# Element k trains with value k; its run is runs/<dataset>_<setting>_<value>. Without Slurm all values
# are trained in turn.

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

dataset=${1:-} scan=${2:-}
case "$scan" in
    *=*) shift 2 ;;
    *)
        echo "error: the first arguments are '$dataset' and '$scan'; expected a dataset and" \
            "SETTING=VALUE,VALUE,... of finetune.py, such as top train-jets=1000,3000." >&2
        exit 2
        ;;
esac
setting=${scan%%=*}
IFS=, read -ra values <<<"${scan#*=}"
first=0 last=$((${#values[@]} - 1))
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    if [ "$SLURM_ARRAY_TASK_ID" -gt "$last" ]; then
        echo "error: element $SLURM_ARRAY_TASK_ID of the array has no value; expected --array=0-$last." >&2
        exit 2
    fi
    first=$SLURM_ARRAY_TASK_ID last=$SLURM_ARRAY_TASK_ID
fi
for ((k = first; k <= last; k++)); do
    value=${values[k]}
    (resumable finetune.py "$dataset" "--$setting" "$value" --name "${dataset}_${setting}_$value" "$@") || exit
done
