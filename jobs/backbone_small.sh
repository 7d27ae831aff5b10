#!/usr/bin/env bash
# Makes the backbone that comes with the code, backbones/small.h5 and its card: simulate JetClass,
# pre-train the small preset, evaluate it, and train it on fewer jets for its learning curve.
#
#   jobs/backbone_small.sh                  in the checkout, environment by `make setup`
#   WORK=/scratch/backbone jobs/backbone_small.sh
#
# Every stage goes on where it was stopped, when the same command is given again. SAMPLES samples of
# 100 000 training jets; EPOCHS passes over all of them.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
work=${WORK:-work/backbone}
samples=${SAMPLES:-4}
epochs=${EPOCHS:-10}
workers=${WORKERS:-$(nproc)}
curve="15000 100000"

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

common="--preset small --data $work/data --runs $work/runs"
$python train.py jetclass $common --name jetclass --epochs "$epochs" --batch 64 --val-jets 5000
$python evaluate.py "$work/runs/jetclass"
for jets in $curve; do
    $python train.py jetclass $common --name "jetclass_$jets" --train-jets "$jets" \
        --epochs "$epochs" --batch 64 --val-jets 5000
    $python evaluate.py "$work/runs/jetclass_$jets"
done
$python -m benchmarks backbone --run "$work/runs/jetclass" --name small \
    --curve "$(for jets in $curve; do printf '%s,' "$work/runs/jetclass_$jets"; done)"
