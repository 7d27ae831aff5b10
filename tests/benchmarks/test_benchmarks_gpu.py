"""The measurement of a GPU, run on a CPU: its order, what it writes, and when it stops."""

import json
import time

import numpy as np
import pytest
from commands import python
from tiny_models import tiny_and_eager

from benchmarks import gpu
from benchmarks.gpu import FIRST_SLOTS, Measurements, Setting, measure_all
from benchmarks.throughput import grouped_batches

SHARES = {26: 0.25, 46: 0.5, 150: 0.25}
KINDS = [("all", "training"), ("classifier", "training")]


@pytest.fixture
def fake(monkeypatch):
    """A device of 1 TFLOP/s with short steps."""

    def work(mode, config, training, precision):
        return lambda batch: time.sleep(0.001 if precision == "bfloat16" else 0.002)

    monkeypatch.setattr(gpu, "work", work)
    monkeypatch.setattr(gpu, "peak_flops", lambda precision: 1e12)
    monkeypatch.setattr(gpu, "allow_tf32", lambda allowed: None)


def measurements(out, seconds=60.0, size="full", batch=256) -> Measurements:
    return Measurements(size, batch, 3, out, time.monotonic() + seconds, SHARES)


BATCHES = {slots: {"mask": np.ones((256, slots))} for slots in SHARES}


@pytest.mark.slow
def test_the_dry_run_measures_prints_and_writes_on_a_cpu(tmp_path):
    out = tmp_path / "gpu.json"
    with tiny_and_eager():
        code, printed, error = python(
            "-m benchmarks gpu --size small --batch 4 --steps 1 --seconds 20 --mode classifier "
            "--work inference --out",
            out,
        )
    assert not code, error
    lines = printed.splitlines()
    assert lines[:3] == [
        "device: cpu",
        "TF32 is left out: it needs a GPU of compute capability 8.0 or more",
        "memory of the device is left out: there is no GPU",
    ]
    name = "classifier, inference, float32, no XLA, 46 slots"
    assert lines[3] == f"{name}: begins"
    assert lines[4].startswith(f"{name}: first step after ")
    assert lines[5].startswith(f"{name}: ")
    assert lines[5].endswith(" jets/s")
    stored = json.loads(out.read_text())
    assert stored["device"] == "cpu"
    assert stored["pretraining"] is None  # of the full size alone
    first = stored["rows"][0]
    assert first["error"] is None
    assert first["slots"] == FIRST_SLOTS
    assert min(first["jets_per_second"], first["first_step_seconds"], first["share_of_peak"]) > 0
    assert first["peak_memory_megabytes"] is None
    assert list(tmp_path.iterdir()) == [out]


def test_one_length_of_every_setting_comes_first_then_the_lengths_that_need_no_new_graph(
    tmp_path, fake, monkeypatch
):
    monkeypatch.setattr(gpu, "has_tf32", lambda: True)
    measured = measurements(tmp_path / "gpu.json")
    measure_all(measured, KINDS, BATCHES)
    settings = [(row["precision"], row["xla"], row["slots"]) for row in measured.rows]
    assert settings[:6] == [
        ("tf32", False, 46),
        ("bfloat16", False, 46),
        ("tf32", True, 46),
        ("bfloat16", True, 46),
        ("float32", False, 46),
        ("float32", True, 46),
    ]
    # the default, and bfloat16, which the fake device is fastest at
    assert settings[6:10] == [
        ("tf32", False, 26),
        ("tf32", False, 150),
        ("bfloat16", False, 26),
        ("bfloat16", False, 150),
    ]
    assert [row["mode"] for row in measured.rows[:11]] == 10 * ["all"] + ["classifier"]
    assert len(measured.rows) == len(KINDS) * 6 * len(SHARES)
    assert {row["xla"] for row in measured.rows[20:]} == {True, False}
    assert not measured.not_begun


def test_a_measurement_that_would_not_end_in_time_is_named_and_not_begun(tmp_path, fake, capsys):
    measured = measurements(tmp_path / "gpu.json", seconds=100)
    measured.first_seconds, measured.other_seconds = {False: 30.0, True: 395.0}, 5.0
    plain, fused = (Setting("all", "training", "float32", xla) for xla in (False, True))
    measured.measure(fused, BATCHES[46])
    measured.measure(plain, BATCHES[46])
    assert measured.not_begun == ["all, training, float32, XLA, 46 slots"]
    assert "XLA, 46 slots: not begun, it would take 400 s" in capsys.readouterr().out
    assert [row["xla"] for row in measured.rows] == [False]
    # the graph is there: only its steps take time
    measured.until = time.monotonic() + 20
    measured.measure(plain, BATCHES[26])
    assert [row["slots"] for row in measured.rows] == [46, 26]
    measured.measure(plain, BATCHES[150])  # needs another graph
    assert measured.not_begun[1:] == ["all, training, float32, no XLA, 150 slots"]


def test_a_rate_is_in_the_file_before_the_next_is_begun(tmp_path, fake, monkeypatch):
    out = tmp_path / "gpu.json"
    measured = measurements(out)
    setting = Setting("all", "training", "float32", False)
    measured.measure(setting, BATCHES[46])
    files = []
    monkeypatch.setattr(
        gpu, "steady_seconds", lambda *_: files.append(json.loads(out.read_text())) or 1.0
    )
    measured.measure(setting, BATCHES[26])
    (during,) = files
    assert during["rows"][0]["jets_per_second"] > 0
    assert during["rows"][1]["first_step_seconds"] > 0
    assert during["rows"][1]["jets_per_second"] is None


def test_a_length_that_does_not_fit_into_memory_is_recorded(tmp_path, fake, monkeypatch):
    measured = measurements(tmp_path / "gpu.json")
    monkeypatch.setattr(gpu, "steady_seconds", full_memory)
    setting = Setting("all", "training", "float32", False)
    measured.measure(setting, BATCHES[150])
    assert measured.rows[0]["error"] == "out of memory"
    assert measured.rows[0]["jets_per_second"] is None


def full_memory(*_):
    raise RuntimeError("out of memory\nand more lines")


def test_a_graph_is_traced_once_for_all_shortened_lengths_and_by_xla_for_each(tmp_path, fake):
    measured = measurements(tmp_path / "gpu.json")
    for xla, expected in ((False, [True, False, True]), (True, [True, True, True])):
        setting, traced = Setting("all", "training", "float32", xla), []
        for slots in (46, 26, 150):
            traced.append(measured.traces(setting, slots))
            measured.measure(setting, BATCHES[slots])
        assert traced == expected


def test_hours_of_the_pretraining_follow_from_the_rate_over_all_lengths(tmp_path, fake):
    measured = measurements(tmp_path / "gpu.json")
    setting = {"mode": "all", "work": "training", "precision": "tf32", "xla": False}
    assert measured.pretraining() is None
    measured.rows = [{**setting, "slots": 46, "jets_per_second": 5000.0}]
    assert measured.pretraining()["slots"] == "46 slots"
    measured.rows += [
        {**setting, "slots": 26, "jets_per_second": 8000.0},
        {**setting, "slots": 150, "jets_per_second": 1000.0},
    ]
    (mean,) = measured.means()
    assert mean["jets_per_second"] == pytest.approx(1 / (0.25 / 8000 + 0.5 / 5000 + 0.25 / 1000))
    cost = measured.pretraining()
    assert cost["slots"] == "all lengths"
    assert cost["steps"] == 200 * 610  # 2e7 jets in steps of 128 x 256
    assert cost["hours"] == pytest.approx(122_000 * 256 / mean["jets_per_second"] / 3600)
    assert cost["gpu_hours"] == pytest.approx(128 * cost["hours"])
    measured.size = "small"
    assert measured.pretraining() is None


def test_the_first_length_is_one_of_the_pipeline():
    assert FIRST_SLOTS in [batch["mask"].shape[1] for batch, _ in grouped_batches(256, 150)]
