"""How the ranks of a job find each other, where the launcher leaves it to us.

Under `srun` without MPI: Slurm says who is who, rank 0 is where they meet, and Gloo connects them.

Under `horovodrun --min-np 1 --max-np 8 --host-discovery-script ...` ranks may be lost and come
back. Horovod's own recovery keeps the state in memory and does not recognise the loss of a rank in
a grouped allreduce; here every rank that is left replaces itself by a fresh process of the same
command (same id, so horovodrun keeps it), asks for its new place, and goes on from the last
checkpoint like any run that was interrupted.
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

FIRST_PORT, PORTS = 15000, 17000  # below those that systems hand out by themselves
PATIENCE = 600.0  # seconds for all ranks of a job to have started: containers load slowly
STARTED_AGAIN = "OMNILEARN_STARTED_AGAIN"  # from a process to the one that replaces it
PLACE = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE")


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
    nodes = environment["SLURM_STEP_NODELIST"]
    (name, number), *_ = re.findall(r"^([^\[,]+)(?:\[(\d+))?", nodes)
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


class Hosts:
    """Whether horovodrun has told this process that hosts came or are about to go."""

    def __init__(self):
        self.have_changed = False

    def on_hosts_updated(self, timestamp, change) -> None:  # horovodrun calls it by this name
        self.have_changed = True


hosts = Hosts()


def is_elastic() -> bool:
    """May horovodrun change the number of ranks?"""
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def watch_host_updates() -> None:
    """Let horovodrun tell this process, from now on, that hosts came or are about to go."""
    from horovod.runner.elastic.worker import WorkerNotificationManager

    manager = WorkerNotificationManager()
    manager.init()
    manager.register_listener(hosts)


def start_again(why: str) -> None:
    """Replace this process by a fresh one of the same command; never returns."""
    print(f"{why}: starting again from the last checkpoint", flush=True)
    sys.stderr.flush()
    for name in os.listdir("/proc/self/fd"):
        # connections must end with this process, or those at the other end would wait for it
        if int(name) > 2 and Path(f"/proc/self/fd/{name}").exists():
            os.set_inheritable(int(name), False)
    os.environ[STARTED_AGAIN] = "1"
    command = [word for word in sys.orig_argv[1:] if word != "--overwrite"]
    os.execv(sys.executable, [sys.executable, *command])


def has_started_again() -> bool:
    return STARTED_AGAIN in os.environ


def take_new_place() -> None:
    """Ask horovodrun which rank this process is now (HOROVOD_RANK ...).

    It answers once every other rank has asked too, or ended. Raises UserError when it does not
    answer in time, Stopped when it has no place left for this process.
    """
    del os.environ[STARTED_AGAIN]
    address = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"]
    port = int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"])
    me = f"{os.environ['HOROVOD_HOSTNAME']}:{os.environ['HOROVOD_LOCAL_RANK']}"
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/rank_and_size/{me}")
        answer = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"horovodrun at {address}:{port} gave {me} no new rank ({error}); start the same "
            "command again, it goes on from the last checkpoint"
        ) from error
    finally:
        connection.close()
    place = dict(zip(PLACE, answer.split(","), strict=True))
    if int(place["RANK"]) < 0:
        raise Stopped(f"{me} is not among the ranks any more")
    os.environ.update({f"HOROVOD_{key}": value for key, value in place.items()})
