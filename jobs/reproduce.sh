#!/usr/bin/env bash
# Every table of the papers, in order: pre-training, then each task from its backbone and from
# scratch with five repeats, then the evaluations, then the tables themselves.
#
#   jobs/reproduce.sh --print             what would be done
#   jobs/reproduce.sh [--preset small]    do it; flags go to every training
#
# Under Slurm jobs are submitted with dependencies, else they run in turn. A job that is complete
# has nothing left to do, so an interrupted call is simply repeated. The datasets must be in
# $OMNILEARN_DATA (default: data); docs/perlmutter.md says what everything costs.
# SBATCH_ACCOUNT, SBATCH_QOS ... are read by Slurm itself.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
. jobs/resumable.sh

print=${OMNILEARN_PRINT:-}
if [ "${1:-}" = --print ]; then
    print=1
    shift
fi
flags=("$@")
repeats=${OMNILEARN_REPEATS:-5}
number=0 # of the job, where nothing is submitted
id=""    # of the last job

job() { # nodes, ids it waits for (with colons), then script and arguments; "array" in front: repeats
    local array=()
    if [ "$1" = array ]; then
        array=(--array="0-$((repeats - 1))")
        shift
    fi
    local nodes=$1 after=$2 command=("${@:3}")
    local tasks=$((nodes * gpus_per_node))
    if [ "$OMNILEARN_SITE" = laptop ]; then
        if [ ${#array[@]} -gt 0 ]; then command+=(--repeats "$repeats"); fi
        if [ -n "$print" ]; then echo "${command[*]}"; else "${command[@]}" || exit; fi
        return
    fi
    local submit=(sbatch --parsable "${site_sbatch[@]}" "${site_gpus[@]}" --nodes="$nodes"
        --ntasks="$tasks" "${array[@]}" ${after:+"--dependency=afterok:$after"} "${command[@]}")
    if [ -n "$print" ]; then
        number=$((number + 1))
        id=$number
        echo "$id: ${submit[*]}"
    else
        id=$("${submit[@]}") || exit
        echo "$id: ${command[*]}"
    fi
}

# --- the backbone: JetClass, 128 GPUs in the paper
job "${OMNILEARN_NODES:-32}" "" jobs/pretrain.sh jetclass "${flags[@]}"
backbone=$id
evaluations=""

# --- tagging: top, quark-gluon, CMS, ATLAS, H1
for name in top qg cms atlas h1; do
    for start in finetuned scratch; do
        from=()
        if [ $start = finetuned ]; then from=(--backbone runs/jetclass); fi
        job array 1 "${from:+$backbone}" jobs/finetune.sh $name "${from[@]}" "${flags[@]}"
        job 1 "$id" jobs/evaluate.sh "runs/${name}_$start"
        evaluations+=":$id"
    done
done

# --- generation: JetNet
for name in jetnet30 jetnet150; do
    job 1 "$backbone" jobs/finetune.sh $name --backbone runs/jetclass "${flags[@]}"
    job 1 "$id" jobs/evaluate.sh "runs/${name}_finetuned"
    evaluations+=":$id"
done

# --- unfolding: OmniFold
job 1 "$backbone" jobs/unfold.sh --backbone runs/jetclass "${flags[@]}"
job 1 "$id" jobs/evaluate.sh runs/omnifold_finetuned
evaluations+=":$id"

# --- anomaly detection: LHC Olympics, ten trainings of each number of signal events
signals=0,500,600,800,1000,2000,5000
for start in finetuned scratch; do
    from=()
    if [ $start = finetuned ]; then from=(--backbone runs/jetclass); fi
    job 1 "${from:+$backbone}" jobs/anomaly.sh $signals 10 --idealised "${from[@]}" "${flags[@]}"
    job 1 "$id" jobs/anomaly.sh $signals 10 "${from[@]}" "${flags[@]}" # CATHODE
    job 1 "$id" jobs/evaluate.sh "runs/lhco_$start"
    evaluations+=":$id"
done

# --- the tables
job 1 "${evaluations#:}" jobs/tables.sh
