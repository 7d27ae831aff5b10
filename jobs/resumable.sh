# shellcheck shell=bash source=jobs/environment.sh
# Sourced by every job: `resumable train.py ...` runs a script on all ranks, and lets Slurm start the
# job again where the time ends before the work does.
#
# Slurm sends USR1 to this shell five minutes before the limit (--signal in the jobs). It is handed
# on to the ranks, which write a checkpoint at their next step and end; then the job is requeued,
# and the same command resumes. OMNILEARN_PRINT=1 prints the command instead.

. jobs/environment.sh

one_by_one() { # a command of one process
    run_or_print "${in_container[@]}" "$site_python" "$@"
}

on_all_ranks() {
    local ranks=${OMNILEARN_RANKS:-1}
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        # one dead rank ends all: a frozen one would never end by itself
        run_or_print srun --kill-on-bad-exit=1 "${in_container[@]}" "$site_python" "$@"
    elif [ "$ranks" -gt 1 ]; then
        run_or_print "${site_python%/*}/horovodrun" -np "$ranks" --gloo "$site_python" "$@"
    else
        run_or_print "$site_python" "$@"
    fi
}

run_or_print() {
    if [ -n "${OMNILEARN_PRINT:-}" ]; then
        printf '%q ' "$@"
        echo
    else
        exec "$@"
    fi
}

resumable() {
    local asked="" code ranks="" word words=()
    for word in "$@"; do
        # of a requeued job the run is its own
        if [ "$word" != --overwrite ] || [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ]; then
            words+=("$word")
        fi
    done
    trap 'asked=yes; kill -USR1 $ranks 2>/dev/null' USR1
    trap 'kill -TERM $ranks 2>/dev/null' TERM INT
    on_all_ranks "${words[@]}" &
    ranks=$!
    if [ -n "$asked" ]; then kill -USR1 $ranks 2>/dev/null; fi # it came before the ranks were started
    wait $ranks
    code=$?
    while kill -0 $ranks 2>/dev/null; do # a signal ends the wait, not the ranks
        wait $ranks
        code=$?
    done
    trap - USR1 TERM INT
    if [ $code -ne 0 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
        if [ -n "$asked" ] || [ $code -eq 75 ]; then # 75: the ranks were asked to stop, and did
            requeue
        fi
    fi
    exit $code
}

requeue() {
    local most=${OMNILEARN_RESTARTS:-100} restarts=${SLURM_RESTART_COUNT:-0}
    if [ "$restarts" -ge "$most" ]; then
        echo "error: this job was requeued $restarts times and is not complete; is its time limit" \
            "longer than the start and one step? Submit it again, or allow more with" \
            "OMNILEARN_RESTARTS." >&2
        exit 75
    fi
    echo "the time of this job is up: requeued, it goes on from its checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60 # Slurm ends this script
}
