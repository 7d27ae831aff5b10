#!/usr/bin/env bash
#SBATCH --job-name=tables
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Write the tables and figures of the papers with all evaluated runs: runs/tables.md, runs/tables.tex
# and runs/figures.

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}" || exit 2
if [ ! -e jobs/resumable.sh ]; then
    echo "error: submit the jobs from the root of the checkout; $PWD has no jobs/resumable.sh." >&2
    exit 2
fi
. jobs/resumable.sh

for format in markdown latex; do
    ending=${format/markdown/md}
    ending=${ending/latex/tex}
    if [ -n "${OMNILEARN_PRINT:-}" ]; then
        (in_one_process -m benchmarks tables --runs runs --format "$format")
    else
        (in_one_process -m benchmarks tables --runs runs --format "$format") >"runs/tables.$ending" || exit
    fi
done
in_one_process -m benchmarks figures --runs runs --out runs/figures
