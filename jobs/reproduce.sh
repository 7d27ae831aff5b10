#!/usr/bin/env bash
# Every table of the papers, in order: pre-training, then each task from its backbone and from
# scratch, the classifiers with five repeats, then the evaluations, then tables and figures.
#
#   jobs/reproduce.sh --print             print the jobs
#   jobs/reproduce.sh [--preset small]    run them; flags go to every training
#
# Under Slurm jobs are submitted with dependencies, else they run in turn. Finished work is not
# repeated, so an interrupted call can be given again. The datasets must be in $OMNILEARN_DATA
# (default: data); docs/perlmutter.md has the costs. The study of Aspen Open Jets takes only --preset
# and --data of the flags, since its trainings have their own settings. Slurm reads SBATCH_ACCOUNT,
# SBATCH_QOS ...
#
# OMNILEARN_NODES, OMNILEARN_ASPEN_NODES   nodes of the pre-trainings (32, and 3: 12 GPUs)
# OMNILEARN_REPEATS                        trainings of each tagger (5)

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
. jobs/resumable.sh

print=${OMNILEARN_PRINT:-}
if [ "${1:-}" = --print ]; then
    print=1
    shift
fi
flags=("$@")
study=() # flags of the study of Aspen Open Jets
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    case "${!i}" in
        --preset | --data) study+=("${!i}" "${!next:-}") ;;
        --preset=* | --data=*) study+=("${!i}") ;;
    esac
done
repeats=${OMNILEARN_REPEATS:-5}
printed=0 # jobs, with --print
id=""     # of the last job

job() { # [array=0-4,] nodes, gpu (one), or task (one, all GPUs of a node); ids of earlier jobs; command
    local array=() resources
    case "$1" in
        array=*) array=("--$1") && shift ;;
    esac
    local after=$2 command=("${@:3}")
    case "$1" in
        gpu) resources=("${site_one_gpu[@]}" --nodes=1 --ntasks=1) ;;
        task) resources=("${site_one_task[@]}" --nodes=1 --ntasks=1) ;;
        *) resources=("${site_gpus[@]}" --nodes="$1" --ntasks=$(($1 * gpus_per_node))) ;;
    esac
    if [ "$OMNILEARN_SITE" = laptop ]; then
        if [ -n "$print" ]; then echo "${command[*]}"; else "${command[@]}" || exit; fi
        return
    fi
    local submit=(sbatch --parsable "${site_sbatch[@]}" "${resources[@]}" "${array[@]}"
        ${after:+"--dependency=afterok:$after"} "${command[@]}")
    if [ -n "$print" ]; then
        printed=$((printed + 1))
        id=$printed
        echo "$id: ${submit[*]}"
    else
        id=$("${submit[@]}") || exit
        echo "$id: ${command[*]}"
    fi
}

evaluated() { # the run of the last job, flags of evaluate.py
    job 1 "$id" jobs/evaluate.sh "$@"
    evaluations+=":$id"
}

# --- the backbone: JetClass, 128 GPUs in the paper
job "${OMNILEARN_NODES:-32}" "" jobs/pretrain.sh jetclass "${flags[@]}"
backbone=$id
evaluations=""

# --- tagging: top, quark-gluon, CMS, H1; ATLAS with all training jets and with 4 million
repeat_flags=(--repeats "$repeats") array=() # repeats are trained in turn, or elements of an array
if [ "$OMNILEARN_SITE" != laptop ]; then repeat_flags=() array=(array="0-$((repeats - 1))"); fi
for name in top qg cms h1 atlas atlas_4M; do
    jets=()
    if [ $name = atlas_4M ]; then jets=(--train-jets 4000000 --val-jets 4000000); fi
    for start in finetuned scratch; do
        from=()
        if [ $start = finetuned ]; then from=(--backbone runs/jetclass); fi
        job "${array[@]}" 1 "${from:+$backbone}" jobs/finetune.sh ${name%_4M} --name "${name}_$start" \
            "${jets[@]}" "${from[@]}" "${repeat_flags[@]}" "${flags[@]}"
        evaluated "runs/${name}_$start"
    done
done

# --- generation: JetNet, by OmniLearn and the PET generator, also with true jet kinematics
for name in jetnet30 jetnet150; do
    job 1 "$backbone" jobs/finetune.sh $name --backbone runs/jetclass "${flags[@]}"
    evaluated "runs/${name}_finetuned" --ideal
    job 1 "" jobs/finetune.sh $name "${flags[@]}"
    evaluated "runs/${name}_scratch" --ideal
done

# --- unfolding: OmniFold with PET from the backbone, from scratch, and with DeepSets
job 1 "$backbone" jobs/unfold.sh --backbone runs/jetclass "${flags[@]}"
evaluated runs/omnifold_finetuned
job 1 "" jobs/unfold.sh "${flags[@]}"
evaluated runs/omnifold_scratch
job 1 "" jobs/unfold.sh --classifier deepsets --name omnifold_deepsets "${flags[@]}"
evaluated runs/omnifold_deepsets

# --- anomaly detection: LHC Olympics, ten trainings of each number of signal events
signals=0,500,600,800,1000,2000,5000
for start in finetuned scratch; do
    from=()
    if [ $start = finetuned ]; then from=(--backbone runs/jetclass); fi
    job 1 "${from:+$backbone}" jobs/anomaly.sh $signals 10 --idealised "${from[@]}" "${flags[@]}"
    job 1 "$id" jobs/anomaly.sh $signals 10 "${from[@]}" "${flags[@]}" # CATHODE
    evaluated "runs/lhco_$start"
done

# --- Aspen Open Jets: three backbones, then the cells, those of many jets on all GPUs of a node
aspen=runs/aspen_study
study_flags=(--out $aspen "${study[@]}")
ranks=(--ranks "${OMNILEARN_RANKS:-$gpus_per_node}")
backbones="" measured=""
cells() { # gpu or task, indices (none: all), more flags
    job ${2:+"array=$2"} "$1" "${backbones#:}" jobs/aspen_study.sh cells "${study_flags[@]}" "${@:3}"
    measured+=":$id"
}
pretrain() { # on several nodes, into the folder of runs of the study
    job "${OMNILEARN_ASPEN_NODES:-3}" "" jobs/pretrain.sh "$@" --runs $aspen/runs "${study[@]}"
    backbones+=":$id"
}
if [ "$OMNILEARN_SITE" = laptop ] || [[ " ${study[*]} " == *[=\ ]small\ * ]]; then
    job task "" jobs/aspen_study.sh backbones "${study_flags[@]}" "${ranks[@]}"
    backbones=":$id"
else
    pretrain aspen --model omnijet --name aspen_omnijet
    pretrain jetclass --model omnijet --tokeniser-only --name jetclass_omnijet
    pretrain aspen --model pet --mode generator --name aspen_pet
fi
if [ "$OMNILEARN_SITE" = laptop ]; then
    cells task "" "${ranks[@]}"
elif [[ " ${study[*]} " == *[=\ ]small\ * ]]; then
    cells gpu 0-15
else
    cells gpu 0-31
    cells task 32-47 "${ranks[@]}"
fi
job gpu "${measured#:}" jobs/aspen_study.sh summary "${study_flags[@]}"
evaluations+=":$id"

# --- the tables and the figures
job gpu "${evaluations#:}" jobs/tables.sh
