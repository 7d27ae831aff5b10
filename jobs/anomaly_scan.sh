#!/usr/bin/env bash
#SBATCH --job-name=anomaly-scan
#SBATCH --time=02:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Train the anomaly search once per value of one setting, each in an element of an array.
#
#   sbatch --array=0-2 --ntasks=4 --gpus=4 jobs/anomaly_scan.sh train-jets=1000,3000,10000 \
#       --backbone runs/jetclass
#
# Element k takes value k; its run is runs/lhco_<setting>_<value>. Without Slurm all are trained in
# turn.

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

scan=${1:-}
case "$scan" in
    *=*) shift ;;
    *)
        echo "error: the first argument is '$scan'; expected SETTING=VALUE,VALUE,... of finetune.py" \
            "lhco, such as train-jets=1000,3000." >&2
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
    (resumable finetune.py lhco "--$setting" "$value" --name "lhco_${setting}_$value" "$@") || exit
done
