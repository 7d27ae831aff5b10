#!/usr/bin/env bash
# Make the token backbone of this repository, backbones/small_tokens.h5, and its card: simulate
# Aspen Open Jets, train tokeniser and GPT of the small preset, evaluate them, and write the card.
#
#   jobs/backbone_small_tokens.sh                           in the checkout, after `make setup`
#   WORK=/scratch/tokens JETS=100000 EPOCHS=20 jobs/backbone_small_tokens.sh
#
# The same command resumes a stopped stage.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
work=${WORK:-work/tokens}
jets=${JETS:-32000}
epochs=${EPOCHS:-8}
workers=${WORKERS:-$(nproc)}

$python -m simulation aspen --jets "$jets" --seed 1 --workers "$workers" --out "$work/raw"
$python -m preprocessing aspen --raw "$work/raw" --out "$work/data"
$python train.py aspen --model omnijet --preset small --data "$work/data" --runs "$work/runs" \
    --epochs "$epochs"
$python evaluate.py "$work/runs/aspen_omnijet" --jets 2000
$python -m benchmarks token_backbone --run "$work/runs/aspen_omnijet" --name small_tokens
