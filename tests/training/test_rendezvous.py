"""Ranks get their numbers and addresses from Slurm, and new ones from horovodrun."""

import http.server
import os
import threading

import pytest

from omnilearn import run_lock
from omnilearn.errors import Stopped, UserError
from omnilearn.training import rendezvous

STEP = {
    "SLURM_JOB_ID": "101",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "10",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2),2",
    "SLURM_STEP_NODELIST": "nid[001234-001235,001300]",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURMD_NODENAME": "nid001300",
}


def test_ranks_and_addresses_follow_from_the_variables_of_slurm():
    variables = rendezvous.slurm_ranks(STEP)
    assert {name.removeprefix("HOROVOD_"): value for name, value in variables.items()} == {
        "RANK": "9",
        "SIZE": "10",
        "LOCAL_RANK": "1",
        "LOCAL_SIZE": "2",
        "CROSS_RANK": "2",
        "CROSS_SIZE": "3",
        "HOSTNAME": "nid001300",
        "GLOO_RENDEZVOUS_ADDR": "nid001234",
        "GLOO_RENDEZVOUS_PORT": str(15000 + 31 * 101 + 2),
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }


@pytest.mark.parametrize(
    ("nodes", "first"), [("vm", "vm"), ("gpu01,gpu07", "gpu01"), ("rack2-n[7,9-11]", "rack2-n7")]
)
def test_the_address_server_runs_on_the_first_node(nodes, first):
    variables = rendezvous.slurm_ranks({**STEP, "SLURM_STEP_NODELIST": nodes})
    assert variables["HOROVOD_GLOO_RENDEZVOUS_ADDR"] == first


@pytest.fixture
def driver(monkeypatch):
    """A server with the answers of horovodrun; `requests` are the paths that were requested."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answer, requests = "", []

        def do_GET(self):
            self.requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.answer.encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
        "HOSTNAME": "nid2",
        "LOCAL_RANK": "1",
        "GLOO_RENDEZVOUS_PORT": str(server.server_port),
        "RANK": "3",
        "SIZE": "4",
        "LOCAL_SIZE": "2",
        "CROSS_RANK": "1",
        "CROSS_SIZE": "2",
    }.items():
        monkeypatch.setenv(f"HOROVOD_{name}", value)
    monkeypatch.setenv(rendezvous.STARTED_AGAIN, "1")
    yield Handler
    server.shutdown()
    server.server_close()


def test_a_rank_that_started_again_requests_its_new_rank_once(driver):
    driver.answer = "1,2,0,1,1,2"
    assert rendezvous.has_started_again()
    rendezvous.request_new_rank()
    assert not rendezvous.has_started_again()
    assert driver.requests == ["/rank_and_size/nid2:1"]
    ranks = [os.environ[f"HOROVOD_{name}"] for name in rendezvous.RANK_NAMES]
    assert ranks == ["1", "2", "0", "1", "1", "2"]


def test_a_process_that_is_no_longer_a_rank_ends(driver):
    driver.answer = "-1,-1,-1,-1,-1,-1"
    with pytest.raises(Stopped, match="nid2:1 is not among the ranks any more"):
        rendezvous.request_new_rank()


def test_a_launcher_that_does_not_answer_is_reported(driver, monkeypatch):
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", "9")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9 gave nid2:1 no new rank"):
        rendezvous.request_new_rank()


def test_a_process_that_starts_again_does_not_lock_itself_out(tmp_path, monkeypatch):
    monkeypatch.setenv(rendezvous.STARTED_AGAIN, "")
    locked: list[bool] = []
    monkeypatch.setattr(
        os, "execv", lambda *_: locked.append((tmp_path / run_lock.TRAINING).exists())
    )
    run_lock.hold(tmp_path)
    rendezvous.start_again("rank 0 lost another rank")
    assert locked == [False]
