#!/usr/bin/env bash
# Makes the backbone that comes with the code, backbones/small.h5 and its card: simulate JetClass,
# pre-train the small preset, evaluate it, and write the card.
#
#   jobs/backbone_small.sh                                  in the checkout, after `make setup`
#   WORK=/scratch/backbone jobs/backbone_small.sh
#   SAMPLES=4 EPOCHS=80 jobs/backbone_small.sh              400 000 jets, 4 million seen
#   CURVE="15000 100000" jobs/backbone_small.sh             and trainings on fewer jets, for the card
#
# A sample has 100 000 training jets, an epoch 50 000. Every stage goes on where it was stopped, when
# the same command is given again.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
work=${WORK:-work/backbone}
samples=${SAMPLES:-2}
epochs=${EPOCHS:-12}
workers=${WORKERS:-$(nproc)}
curve=${CURVE:-}

mkdir -p "$work/raw"
for number in $(seq "$samples"); do
    one=$work/samples/$number
    [ -e "$one/simulation.json" ] ||
        $python -m simulation jetclass --jets-per-class 10000 --val-jets-per-class 500 \
            --test-jets-per-class 1250 --jets-per-file 1250 --seed $((100 + number)) \
            --workers "$workers" --out "$one"
    # the samples number their files alike: in one folder those of the second come behind
    for file in "$one"/*/*.root; do
        name=${file##*/}
        old=${name##*_} old=$((10#${old%.root}))
        case $file in */train_100M/*) step=8 ;; *) step=1 ;; esac
        new=$work/raw/$(basename "$(dirname "$file")")/${name%_*}_$(printf %03d \
            $((old + (number - 1) * step))).root
        mkdir -p "$(dirname "$new")"
        ln -f "$file" "$new"
    done
    cp "$one/simulation.json" "$work/raw/"
done
$python -m preprocessing jetclass --raw "$work/raw" --out "$work/data"

pretrain() { # NAME TRAINING_JETS
    $python train.py jetclass --preset small --data "$work/data" --runs "$work/runs" --name "$1" \
        --epochs "$epochs" --jets-per-epoch 50000 --batch 64 --val-jets 4000 --train-jets "$2"
    $python evaluate.py "$work/runs/$1"
}

pretrain jetclass 0
fewer=
for jets in $curve; do
    pretrain "jetclass_$jets" "$jets"
    fewer=$fewer$work/runs/jetclass_$jets,
done
$python -m benchmarks backbone --run "$work/runs/jetclass" --name small --curve "$fewer"
