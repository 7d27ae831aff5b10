# shellcheck shell=bash source=jobs/environment.sh
# Sourced by every job: `resumable train.py ...` runs a script on all ranks, and requeues the job if
# its time ends before the work does.
#
# Slurm sends USR1 to this shell five minutes before the limit (--signal in the jobs). The shell sends
# it to the ranks, which write a checkpoint at their next step and exit; then the job is requeued, and
# the same command resumes. OMNILEARN_PRINT=1 prints the command instead.

. jobs/environment.sh

in_one_process() {
    run_or_print "${in_container[@]}" "$site_python" "$@"
}

on_all_ranks() {
    local ranks=${OMNILEARN_RANKS:-1}
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        # Slurm 22.05 and later do not pass --cpus-per-task on to srun: a rank would have one core
        if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
        # a dead rank ends all others, which would wait for it
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
    local signalled="" code ranks="" word words=()
    for word in "$@"; do
        # a requeued job must not overwrite the run that it has begun
        if [ "$word" != --overwrite ] || [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ]; then
            words+=("$word")
        fi
    done
    trap 'signalled=yes; kill -USR1 $ranks 2>/dev/null' USR1
    trap 'kill -TERM $ranks 2>/dev/null' TERM INT
    on_all_ranks "${words[@]}" &
    ranks=$!
    if [ -n "$signalled" ]; then kill -USR1 $ranks 2>/dev/null; fi # USR1 came before the ranks started
    wait $ranks
    code=$?
    while kill -0 $ranks 2>/dev/null; do # a signal interrupts wait, while the ranks still run
        wait $ranks
        code=$?
    done
    trap - USR1 TERM INT
    if [ $code -ne 0 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
        if [ -n "$signalled" ] || [ $code -eq 75 ]; then # 75: the ranks stopped after a signal
            requeue
        fi
    fi
    exit $code
}

requeue() {
    local max_restarts=${OMNILEARN_RESTARTS:-100} restarts=${SLURM_RESTART_COUNT:-0}
    if [ "$restarts" -ge "$max_restarts" ]; then
        echo "error: this job was requeued $restarts times and is not complete; its time limit may be" \
            "shorter than its start and one step. Submit it again with a longer limit, or allow more" \
            "restarts with OMNILEARN_RESTARTS." >&2
        exit 75
    fi
    echo "the time limit of this job is reached: requeued, it resumes from its checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60 # Slurm ends this script
}
