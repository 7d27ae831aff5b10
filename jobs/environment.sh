# shellcheck shell=bash disable=SC2034
# Settings of the sites where jobs run, which are in no other file. Every job sources this file from
# the checkout.
#
# OMNILEARN_SITE   perlmutter-shifter, perlmutter-podman, cluster (Slurm, .venv of the checkout) or
#                  laptop (no Slurm); detected if it is empty
# OMNILEARN_IMAGE  the container, made from Containerfile (Perlmutter)
# OMNILEARN_RANKS  processes on a laptop; under Slurm the tasks are the ranks
# OMNILEARN_DATA   folder of preprocessed datasets, read by the scripts

if [ -z "${OMNILEARN_SITE:-}" ]; then
    OMNILEARN_SITE=laptop
    if command -v sbatch >/dev/null; then OMNILEARN_SITE=cluster; fi
    if [ "${NERSC_HOST:-}" = perlmutter ]; then OMNILEARN_SITE=perlmutter-shifter; fi
fi
OMNILEARN_IMAGE=${OMNILEARN_IMAGE:-omnilearn:latest}

# a rank that is frozen ends the job after this time
export HOROVOD_GLOO_TIMEOUT_SECONDS=${HOROVOD_GLOO_TIMEOUT_SECONDS:-120}

# Kernels that TensorFlow compiles at their first use (on newer GPUs than it was built for: H100,
# H200) are cached in the checkout, which containers mount; the default of 1 GiB is too small.
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$PWD/.cuda_cache}
export CUDA_CACHE_MAXSIZE=${CUDA_CACHE_MAXSIZE:-4294967296}

in_container=()             # the words that start the container, before python
site_python=.venv/bin/python
site_sbatch=()              # options of sbatch for any job
site_gpus=()                # for a job of whole nodes, a rank per GPU
site_one_task=()            # for one task that starts a process per GPU of its node
site_one_gpu=()             # for one task with one GPU
gpus_per_node=1

case "$OMNILEARN_SITE" in
    perlmutter-*)
        gpus_per_node=4
        site_sbatch=(--constraint=gpu)
        site_gpus=(--qos=regular --gpus-per-node=4 --cpus-per-task=32)
        site_one_task=(--qos=regular --gpus-per-node=4 --cpus-per-task=128)
        site_one_gpu=(--qos=shared --gpus-per-node=1 --cpus-per-task=32)
        site_python=python
        # Gloo and NCCL connect the ranks over the fast network
        export HOROVOD_GLOO_IFACE=hsn0 NCCL_SOCKET_IFNAME=hsn
        export NCCL_NET_GDR_LEVEL=PHB NCCL_CROSS_NIC=1 FI_CXI_DISABLE_HOST_REGISTER=1
        ;;
esac
case "$OMNILEARN_SITE" in
    perlmutter-shifter)
        in_container=(shifter "--image=$OMNILEARN_IMAGE" "--module=gpu,nccl-plugin")
        ;;
    perlmutter-podman)
        in_container=(podman-hpc run --rm --gpu --nccl --net=host --env-host
            --volume "$PWD:$PWD" ${SCRATCH:+--volume "$SCRATCH:$SCRATCH"} # the data
            --workdir "$PWD" "$OMNILEARN_IMAGE")
        ;;
    cluster | laptop) ;;
    *)
        echo "error: OMNILEARN_SITE is '$OMNILEARN_SITE'; expected perlmutter-shifter," \
            "perlmutter-podman, cluster or laptop." >&2
        exit 2
        ;;
esac
