"""Horovod, and nothing else that knows of ranks: identities on one process.

Horovod's own optimiser wrapper does nothing under Keras 3, silently, and its callbacks raise; so
gradients are averaged where the optimiser applies them (see `omnilearn.optimiser`), in one fused
allreduce, and variables are broadcast by hand.

`horovodrun` and MPI tell Horovod which ranks there are. Under `srun` without MPI this is done here:
Slurm says who is who, rank 0 is where they meet, and Gloo connects them.
"""

import http.client
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np

from omnilearn.errors import UserError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# what launchers tell each process about the number of processes of this step
LAUNCHER_SIZES = ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")

FIRST_PORT, PORTS = 15000, 17000  # below those that systems hand out by themselves
PATIENCE = 600.0  # seconds for all ranks of a job to have started: containers load slowly
_alone = False  # see `alone`


@cache
def horovod():
    """Horovod, initialised once, or None for one process on a machine without it.

    Raises UserError when it was built against another TensorFlow, or when a launcher started
    several processes that would each train alone.
    """
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
    if is_ours_to_connect(hvd):
        meet(slurm_ranks(os.environ))
    hvd.init()
    if hvd.size() == 1 and launched > 1:
        raise UserError(
            f"the launcher started {launched} processes but Horovod sees one: this "
            "Horovod was built without MPI. Launch with srun, or with "
            "horovodrun --gloo -np N python ..., or install MPI (mpicxx) and run: make setup"
        )
    if hvd.size() == 1:
        return None
    limit_threads(tf, hvd.local_size())
    devices = tf.config.list_physical_devices("GPU")
    if devices:
        own = devices[hvd.local_rank() % len(devices)]
        tf.config.set_visible_devices(own, "GPU")
        tf.config.experimental.set_memory_growth(own, True)
    return hvd


def is_ours_to_connect(hvd) -> bool:
    """Did srun start several ranks that neither horovodrun nor MPI knows of?"""
    if "HOROVOD_RANK" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) == 1:
        return False
    has_pmi = any(name in os.environ for name in ("PMIX_RANK", "PMI_RANK"))
    return not (has_pmi and hvd.mpi_built())


def slurm_ranks(environment) -> dict[str, str]:
    """What Horovod must be told (HOROVOD_...), from what Slurm tells every task of a step."""
    tasks = []
    for part in environment["SLURM_STEP_TASKS_PER_NODE"].split(","):  # as in 4(x31),2
        number, _, times = part.partition("(x")
        tasks += [int(number)] * int(times.rstrip(")") or 1)
    node = int(environment["SLURM_NODEID"])
    # the first of nid[001-004,007] or of nid001,nid005
    name, number = re.match(r"([^\[,]+)(?:\[(\d+))?", environment["SLURM_STEP_NODELIST"]).groups()
    step = 31 * int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])
    found = {
        "RANK": environment["SLURM_PROCID"],
        "SIZE": environment["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "LOCAL_SIZE": str(tasks[node]),
        "CROSS_RANK": str(node),
        "CROSS_SIZE": str(len(tasks)),
        "HOSTNAME": environment.get("SLURMD_NODENAME") or socket.gethostname(),
        "GLOO_RENDEZVOUS_ADDR": name + (number or ""),
        "GLOO_RENDEZVOUS_PORT": environment.get("HOROVOD_GLOO_RENDEZVOUS_PORT")
        or str(FIRST_PORT + step % PORTS),
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }
    return {f"HOROVOD_{key}": value for key, value in found.items()}


def meet(ranks: dict[str, str]) -> None:
    """Wait until every rank has come to rank 0, which then serves as their address book.

    Raises UserError when its port is taken, or when some rank does not come.
    """
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    address = socket.gethostbyname(ranks["HOROVOD_GLOO_RENDEZVOUS_ADDR"])
    port = int(ranks["HOROVOD_GLOO_RENDEZVOUS_PORT"])
    os.environ.update(ranks | {"HOROVOD_GLOO_RENDEZVOUS_ADDR": address})
    if ranks["HOROVOD_RANK"] == "0":
        try:
            server = RendezvousHTTPServer(("", port), RendezvousHandler, False)
        except OSError as error:
            raise UserError(
                f"port {port} of {socket.gethostname()}, where the ranks meet, cannot be used "
                f"({error.strerror}); choose another with HOROVOD_GLOO_RENDEZVOUS_PORT"
            ) from error
        threading.Thread(target=server.serve_forever, daemon=True).start()
    until = time.monotonic() + PATIENCE
    others = [f"/here/{number}" for number in range(int(ranks["HOROVOD_SIZE"]))]
    put = ("PUT", f"/here/{ranks['HOROVOD_RANK']}", b"1")
    for request in (put, *(("GET", path, None) for path in others)):
        while not answered(address, port, *request):
            if time.monotonic() > until:
                raise UserError(
                    f"rank {ranks['HOROVOD_RANK']} waited {PATIENCE:.0f} s at {address}:{port} for "
                    f"the other ranks ({request[1]}); did all of them start?"
                )
            time.sleep(0.2)


def answered(address: str, port: int, method: str, path: str, body: bytes | None) -> bool:
    """One request to the address book: is it up, and does it know?"""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def limit_threads(tf, local_size: int) -> None:
    """Share the cores of a node among its ranks, instead of every rank starting them all."""
    cores = max(1, len(os.sched_getaffinity(0)) // local_size)
    tf.config.threading.set_intra_op_parallelism_threads(cores)


def rank() -> int:
    return horovod().rank() if horovod() and not _alone else 0


def size() -> int:
    return horovod().size() if horovod() and not _alone else 1


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process is the only rank: ranks that do different things do not wait."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


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


def agreed(value: int | float) -> float:
    """Rank 0's number, on every rank: one decision for all."""
    if size() == 1:
        return float(value)
    return float(horovod().broadcast(np.asarray([value], "float64"), 0).numpy()[0])


def gathered(rows: np.ndarray) -> np.ndarray:
    """Rows (n, ...) of all ranks, rank after rank; n may differ, also be zero."""
    rows = np.asarray(rows)
    if size() == 1:
        return rows
    return horovod().allgather(rows).numpy()


def barrier() -> None:
    """No rank goes on before all have come."""
    total(0.0)


@contextmanager
def ranks_that_end() -> Iterator[None]:
    """Say in a sentence, as UserError, that another rank ended or froze while this one needed it.

    Horovod notices a rank that ended within seconds, one that froze after
    HOROVOD_GLOO_TIMEOUT_SECONDS (30 where unset).
    """
    if size() == 1:
        yield
        return
    from tensorflow.errors import UnknownError

    number = rank()
    try:
        yield
    except UnknownError as error:
        if "Horovod" not in str(error):
            raise
        raise UserError(
            f"rank {number} lost another rank, which ended or did not answer any more; what it "
            "said comes first. The same command goes on from the last checkpoint"
        ) from error


def broadcast_variables(variables: Sequence) -> None:
    """Give every rank the values of rank 0; Keras variables of any kind."""
    if size() > 1:
        horovod().broadcast_variables([variable.value for variable in variables], 0)


def average(tensors: list) -> list:
    """Average tensors over ranks in one fused allreduce; usable inside a compiled step."""
    if size() == 1:
        return tensors
    hvd = horovod()
    return hvd.grouped_allreduce(tensors, op=hvd.Average)
