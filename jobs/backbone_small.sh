#!/usr/bin/env bash
# Make the backbone of this repository, backbones/small.h5, and its card: simulate JetClass,
# pre-train the small preset, evaluate it, and write the card.
#
#   jobs/backbone_small.sh                                  in the checkout, after `make setup`
#   WORK=/scratch/backbone jobs/backbone_small.sh
#   CONSTANT=15 DECAY=5 jobs/backbone_small.sh              a million jets seen in place of 4 million
#   CURVE="15000 100000 200000" jobs/backbone_small.sh      and trainings on fewer jets, for the card
#   RANKS=2 jobs/backbone_small.sh                          two ranks, with 64 jets of a step each
#
# A sample has 100 000 training jets, an epoch 50 000. The learning rate is constant for CONSTANT epochs,
# then falls to zero in DECAY more; a finished constant stage goes on with a larger CONSTANT. The same
# command resumes a stopped stage. The trainings on fewer jets see 600 000.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
work=${WORK:-work/backbone}
samples=${SAMPLES:-4}
constant=${CONSTANT:-37}
decay=${DECAY:-43}
workers=${WORKERS:-$(nproc)}
curve=${CURVE:-}
ranks=${RANKS:-1}
launch=
[ "$ranks" -eq 1 ] || launch=".venv/bin/horovodrun -np $ranks --gloo"

mkdir -p "$work/raw"
for index in $(seq "$samples"); do
    sample=$work/samples/$index
    [ -e "$sample/simulation.json" ] ||
        $python -m simulation jetclass --jets-per-class 10000 --val-jets-per-class 500 \
            --test-jets-per-class 1250 --jets-per-file 1250 --seed $((100 + index)) \
            --workers "$workers" --out "$sample"
    # the file numbers of every sample start at 0; in the common folder they continue; all trainings,
    # on however many samples, have the validation jets of the first two
    for file in "$sample"/*/*.root; do
        case $file in */val_5M/*) [ "$index" -le 2 ] || continue ;; esac
        name=${file##*/}
        old=${name##*_} old=$((10#${old%.root}))
        case $file in */train_100M/*) files=8 ;; *) files=1 ;; esac
        new=$work/raw/$(basename "$(dirname "$file")")/${name%_*}_$(printf %03d \
            $((old + (index - 1) * files))).root
        mkdir -p "$(dirname "$new")"
        ln -f "$file" "$new"
    done
    cp "$sample/simulation.json" "$work/raw/"
done
$python -m preprocessing jetclass --raw "$work/raw" --out "$work/data"

settings=(jetclass --preset small --data "$work/data" --runs "$work/runs" --jets-per-epoch 50000
    --batch 64 --val-jets 4000)
$launch $python train.py "${settings[@]}" --name constant --epochs "$constant" --no-decay
$launch $python finetune.py "${settings[@]}" --name jetclass --epochs "$decay" --warmup-epochs 0 \
    --backbone "$work/runs/constant/last.h5" --mode all --lr 3e-4 --body-factor 1 --weight-decay 1e-5
$python evaluate.py "$work/runs/jetclass"
curve_runs=
for jets in $curve; do
    epochs=$((jets < 50000 ? 600000 / jets : 12))
    $launch $python train.py "${settings[@]}" --name "jetclass_$jets" --epochs "$epochs" --train-jets "$jets"
    $python evaluate.py "$work/runs/jetclass_$jets"
    curve_runs=$curve_runs$work/runs/jetclass_$jets,
done
$python -m benchmarks backbone --run "$work/runs/jetclass" --name small --curve "$curve_runs"
