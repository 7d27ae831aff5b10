"""Connection of the ranks of a job, where the launcher does not provide it.

Under `srun` without MPI: Slurm numbers the ranks, rank 0 runs an address server, and Gloo connects
them.

Under `horovodrun --min-np 1 --max-np 8 --host-discovery-script ...` ranks may be lost and replaced.
Horovod's own recovery keeps the state in memory and does not recognise the loss of a rank in a
grouped allreduce; here every remaining rank replaces itself by a new process of the same command
(same id, so horovodrun keeps it), requests its new rank, and resumes from the last checkpoint.
"""

import http.client
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path

from omnilearn.errors import Stopped, UserError
from omnilearn.run_lock import release_all

FIRST_PORT, PORTS = 15000, 17000  # below the ports that systems assign by themselves
PATIENCE = 600.0  # seconds for all ranks of a job to start: containers load slowly
STARTED_AGAIN = "OMNILEARN_STARTED_AGAIN"  # set for the process that replaces another
RANK_NAMES = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE")


def needs_our_server(hvd) -> bool:
    """Whether srun started several ranks that neither horovodrun nor MPI connects."""
    if "HOROVOD_RANK" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) == 1:
        return False
    has_pmi = any(name in os.environ for name in ("PMIX_RANK", "PMI_RANK"))
    return not (has_pmi and hvd.mpi_built())


def slurm_ranks(environment) -> dict[str, str]:
    """Variables of Horovod (HOROVOD_...) from those that Slurm sets for every task of a step."""
    tasks = []
    for part in environment["SLURM_STEP_TASKS_PER_NODE"].split(","):  # as in 4(x31),2
        count, _, times = part.partition("(x")
        tasks += [int(count)] * int(times.rstrip(")") or 1)
    node = int(environment["SLURM_NODEID"])
    # the first of nid[001-004,007] or of nid001,nid005
    nodes = environment["SLURM_STEP_NODELIST"]
    (name, digits), *_ = re.findall(r"^([^\[,]+)(?:\[(\d+))?", nodes)
    step = 31 * int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])
    variables = {
        "RANK": environment["SLURM_PROCID"],
        "SIZE": environment["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "LOCAL_SIZE": str(tasks[node]),
        "CROSS_RANK": str(node),
        "CROSS_SIZE": str(len(tasks)),
        "HOSTNAME": environment.get("SLURMD_NODENAME") or socket.gethostname(),
        "GLOO_RENDEZVOUS_ADDR": name + (digits or ""),
        "GLOO_RENDEZVOUS_PORT": environment.get("HOROVOD_GLOO_RENDEZVOUS_PORT")
        or str(FIRST_PORT + step % PORTS),
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }
    return {f"HOROVOD_{key}": value for key, value in variables.items()}


def connect(ranks: dict[str, str]) -> None:
    """Start the address server on rank 0 and wait until every rank has registered there.

    Raises UserError when its port is taken, or when a rank does not register in time.
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
    put = ("PUT", f"/here/{ranks['HOROVOD_RANK']}", b"1")
    gets = [("GET", f"/here/{rank}", None) for rank in range(int(ranks["HOROVOD_SIZE"]))]
    for request in (put, *gets):
        while not is_successful(address, port, *request):
            if time.monotonic() > until:
                raise UserError(
                    f"rank {ranks['HOROVOD_RANK']} waited {PATIENCE:.0f} s at {address}:{port} for "
                    f"the other ranks ({request[1]}); did all of them start?"
                )
            time.sleep(0.2)


def is_successful(address: str, port: int, method: str, path: str, body: bytes | None) -> bool:
    """Whether the address server answers a request with OK."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Hosts:
    """Whether horovodrun has announced to this process that hosts are added or removed."""

    def __init__(self):
        self.have_changed = False

    def on_hosts_updated(self, timestamp, change) -> None:  # horovodrun calls it by this name
        self.have_changed = True


hosts = Hosts()


def is_elastic() -> bool:
    """Whether horovodrun may change the number of ranks."""
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def watch_host_updates() -> None:
    """Receive announcements of horovodrun that hosts are added or removed, in `hosts`."""
    from horovod.runner.elastic.worker import WorkerNotificationManager

    manager = WorkerNotificationManager()
    manager.init()
    manager.register_listener(hosts)


def start_again(reason: str) -> None:
    """Replace this process by a new one of the same command; never returns."""
    print(f"{reason}: starting again from the last checkpoint", flush=True)
    sys.stderr.flush()
    release_all()  # the new process has the same number: a lock would be that of a living one
    for name in os.listdir("/proc/self/fd"):
        # close connections with this process, so that the other ends do not wait
        if int(name) > 2 and Path(f"/proc/self/fd/{name}").exists():
            os.set_inheritable(int(name), False)
    os.environ[STARTED_AGAIN] = "1"
    command = [word for word in sys.orig_argv[1:] if word != "--overwrite"]
    os.execv(sys.executable, [sys.executable, *command])


def has_started_again() -> bool:
    return STARTED_AGAIN in os.environ


def request_new_rank() -> None:
    """Request the new rank of this process from horovodrun and set HOROVOD_RANK ...

    It answers once every other rank has requested too, or ended. Raises UserError when it does not
    answer in time, Stopped when this process is no longer a rank.
    """
    del os.environ[STARTED_AGAIN]
    address = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"]
    port = int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"])
    process = f"{os.environ['HOROVOD_HOSTNAME']}:{os.environ['HOROVOD_LOCAL_RANK']}"
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/rank_and_size/{process}")
        answer = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"horovodrun at {address}:{port} gave {process} no new rank ({error}); start the same "
            "command again, it goes on from the last checkpoint"
        ) from error
    finally:
        connection.close()
    ranks = dict(zip(RANK_NAMES, answer.split(","), strict=True))
    if int(ranks["RANK"]) < 0:
        raise Stopped(f"{process} is not among the ranks any more")
    os.environ.update({f"HOROVOD_{key}": value for key, value in ranks.items()})
