"""Horovod, the only interface to other ranks; on one process every function is an identity.

Horovod's optimiser wrapper silently does nothing under Keras 3, and its callbacks raise. So
gradients are averaged in one fused allreduce before the optimiser applies them (see
`omnilearn.training.trainer`), and variables are broadcast explicitly.

Horovod gets the ranks from `horovodrun` or MPI, else from `omnilearn.training.rendezvous`.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np

from omnilearn.errors import UserError
from omnilearn.training import rendezvous

# variables in which launchers give the number of processes of a step
LAUNCHER_SIZES = ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_single_process = False  # see `single_process`


@cache
def horovod():
    """Horovod, initialised once, or None for one process on a machine without it.

    Raises UserError when it was built against another TensorFlow, or when several processes were
    started that would train separately.
    """
    if rendezvous.has_started_again():
        rendezvous.request_new_rank()
    launched = max(int(os.environ.get(name) or 1) for name in LAUNCHER_SIZES)
    import tensorflow as tf

    try:
        import horovod.tensorflow as hvd
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("horovod") or launched > 1:
            raise UserError(
                f"{launched} processes were started but Horovod is not installed "
                f"({error}); run: make setup"
            ) from error
        return None
    except Exception as error:  # a library built against other symbols raises many kinds
        raise UserError(
            f"Horovod cannot be used with TensorFlow {tf.__version__}; it was built "
            f"against another one ({str(error).splitlines()[0]}); run: make setup"
        ) from error
    set_cycle_time(tf)
    if rendezvous.needs_our_server(hvd):
        rendezvous.connect(rendezvous.slurm_ranks(os.environ))
    hvd.init()
    if rendezvous.is_elastic():
        rendezvous.watch_host_updates()
    if hvd.size() == 1 and launched > 1:
        raise UserError(
            f"the launcher started {launched} processes but Horovod has one rank: this "
            "Horovod was built without MPI. Launch with srun, or with "
            "horovodrun --gloo -np N python ..., or install MPI (mpicxx) and run: make setup"
        )
    if hvd.size() == 1:
        return None
    limit_threads(tf, hvd.local_size())
    devices = tf.config.list_physical_devices("GPU")
    if devices:
        device = devices[hvd.local_rank() % len(devices)]
        tf.config.set_visible_devices(device, "GPU")
        tf.config.experimental.set_memory_growth(device, True)
    return hvd


def limit_threads(tf, local_size: int) -> None:
    """Share the cores of a node among its ranks, each of which would else use all.

    Where Slurm has bound a rank to cores of its own, it uses these.
    """
    cores = len(os.sched_getaffinity(0))
    if cores * local_size > int(os.environ.get("SLURM_CPUS_ON_NODE") or 0):
        cores = max(1, cores // local_size)
    tf.config.threading.set_intra_op_parallelism_threads(cores)


def set_cycle_time(tf) -> None:
    """Without a GPU, let Horovod look for tensors to average every 5 ms instead of every 1 ms.

    Over Gloo a waiting rank is busy in every cycle, which took 14 % of its core.
    """
    if not tf.config.list_physical_devices("GPU"):
        os.environ.setdefault("HOROVOD_CYCLE_TIME", "5")


def rank() -> int:
    return horovod().rank() if horovod() and not _single_process else 0


def size() -> int:
    return horovod().size() if horovod() and not _single_process else 1


def rank_and_size() -> tuple[int, int]:
    return rank(), size()


@contextmanager
def single_process() -> Iterator[None]:
    """Within the block this process is the only rank, so ranks may do different things."""
    global _single_process
    before, _single_process = _single_process, True
    try:
        yield
    finally:
        _single_process = before


def total(values) -> np.ndarray:
    """Sum of an array of numbers over ranks, in double precision."""
    values = np.asarray(values, "float64")
    if size() == 1:
        return values
    hvd = horovod()
    return hvd.allreduce(values, op=hvd.Sum).numpy()


def mean(values) -> np.ndarray:
    """Mean of an array of numbers over ranks."""
    return total(values) / size()


def broadcast(value: int | float) -> float:
    """The value on rank 0, returned on every rank."""
    if size() == 1:
        return float(value)
    return float(horovod().broadcast(np.asarray([value], "float64"), 0).numpy()[0])


def allgather(rows: np.ndarray) -> np.ndarray:
    """Rows (n, ...) of all ranks, in the order of ranks; n may differ and be zero."""
    rows = np.asarray(rows)
    if size() == 1:
        return rows
    return horovod().allgather(rows).numpy()


def barrier() -> None:
    """Wait until all ranks have called this."""
    total(0.0)


def is_lost_rank(error: Exception) -> bool:
    """Whether Horovod raised this because another rank ended or does not respond."""
    if "tensorflow" not in sys.modules or "Horovod" not in str(error):
        return False
    from tensorflow.errors import OpError

    return isinstance(error, OpError) and size() > 1


@contextmanager
def ranks_that_end() -> Iterator[None]:
    """Turn the error of a lost rank into a UserError; also a decorator of commands.

    Horovod notices a rank that ended within seconds, and one that is frozen after
    HOROVOD_GLOO_TIMEOUT_SECONDS (30 where unset). Where horovodrun may change the number of ranks,
    this one starts again from the last checkpoint with the ranks that are left.
    """
    try:
        yield
    except Exception as error:
        if not is_lost_rank(error):
            raise
        if rendezvous.is_elastic():
            rendezvous.start_again(f"rank {rank()} lost another rank")
        raise UserError(
            f"rank {rank()} lost another rank, which ended or did not answer any more; the cause "
            "is in its messages above. The same command goes on from the last checkpoint"
        ) from error


def has_other_hosts() -> bool:
    """Whether horovodrun has announced to this rank that hosts are added or removed."""
    return rendezvous.hosts.have_changed and not _single_process


def start_again() -> None:
    """Start all ranks again on the present hosts; never returns."""
    reason = f"rank {rank()} makes room for other hosts"
    if size() > 1:
        horovod().shutdown()
    rendezvous.start_again(reason)


def broadcast_variables(variables: Sequence) -> None:
    """Give the Keras variables of every rank the values of rank 0."""
    if size() > 1:
        horovod().broadcast_variables([variable.value for variable in variables], 0)


def average(tensors: list) -> list:
    """Average tensors over ranks in one fused allreduce; usable inside a compiled step."""
    if size() == 1:
        return tensors
    hvd = horovod()
    return hvd.grouped_allreduce(tensors, op=hvd.Average)
