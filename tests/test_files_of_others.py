"""Files of others cannot exhaust the memory, and links in a run are not followed."""

import json
import re
import time
import zipfile

import h5py
import numpy as np
import pytest
from commands import python, refusal_of
from flipped_bits import flip_bit

from omnilearn import run_lock
from omnilearn.atomic import atomic_path
from omnilearn.config import Config, read_config
from omnilearn.data.catalogue import dataset
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from omnilearn.generation.sampling import prepare_folder
from omnilearn.hdf5 import atomic_file, open_for_reading
from omnilearn.hdf5_sums import DIGEST, attributes
from omnilearn.history import read_history, write_history
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint
from omnilearn.model.pet import PETConfig
from omnilearn.runs import refuse_links, write_description
from omnilearn.statistics.results import Result, read_results, write_results
from omnilearn.tagging.predictions import read_predictions
from omnilearn.training.resume import Position, latest_intact_checkpoint
from preprocessing import qg
from simulation.plan import OutputFile, prepare_folders

SMALL = PETConfig(projection_dim=8, num_layers=1, num_heads=2)


@pytest.fixture
def run(tmp_path):
    """A run with a folder that is a link to a folder outside."""
    folder, outside = tmp_path / "run", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "part0.npz").write_text("mine")
    (outside / "thesis.hdf5").write_text("mine")
    write_description(folder, Config(), {"task": "generation", "dataset": "jetnet30"})
    write_history(folder, [{"epoch": 1, "steps": 1}])
    (folder / "generated").symlink_to(outside)
    return folder


def test_evaluation_neither_deletes_nor_writes_behind_a_link(run):
    assert "generated is a link to" in refusal_of(python("evaluate.py", run))
    with pytest.raises(UserError, match="generated is a link to"):
        refuse_links(run)
    with pytest.raises(UserError, match="neither written nor deleted"):
        prepare_folder(run / "generated", {"steps": 20})
    outside = run.parent / "outside"
    names = {path.name: path.read_text() for path in outside.iterdir()}
    assert names == {"part0.npz": "mine", "thesis.hdf5": "mine"}


def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "results.json").symlink_to(tmp_path / "mine")
    write_results(tmp_path / "results.json", {"auc": Result(0.9, 0.1, 3)})
    assert (tmp_path / "mine").read_text() == "mine"
    assert read_results(tmp_path / "results.json")["auc"].value == 0.9


def test_temporary_files_are_new_and_have_random_names(tmp_path, monkeypatch):
    names = set()
    for _ in range(2):
        with atomic_path(tmp_path / "a.h5") as temporary:
            names.add(temporary.name)
            assert temporary.match(".a.*.partial.h5")
    assert len(names) == 2
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    with atomic_path(tmp_path / "b.h5") as guessed:
        pass
    guessed.symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError), atomic_path(tmp_path / "b.h5"):
        pass
    assert not (tmp_path / "mine").exists()


def test_links_with_guessed_names_of_temporary_files_are_not_followed(tmp_path, monkeypatch):
    """Those of the test of an output folder, and of the counter of a lock."""
    (tmp_path / "mine").write_text("mine")
    sample = tmp_path / "sample"
    sample.mkdir()
    (sample / ".partial").symlink_to(tmp_path / "mine")
    (sample / ".training.lock.token").symlink_to(tmp_path / "mine")
    monkeypatch.setattr(run_lock, "HEARTBEAT", 0.01)
    monkeypatch.setattr(run_lock.secrets, "token_hex", lambda _: "token")
    prepare_folders(sample, [OutputFile(sample / "train.h5", "train", (1,))])
    run_lock.hold(sample)
    end = time.monotonic() + 10
    while run_lock.read(sample / run_lock.TRAINING)[1] < 2:
        assert time.monotonic() < end
    run_lock.release(sample)
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(path.name for path in sample.iterdir()) == [".partial", ".training.lock.token"]


@pytest.mark.parametrize("shape", [(10**9, 30, 7), (4, 10**7, 7), (10**9,)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_shape_that_the_file_cannot_hold_is_refused_before_memory_is_allocated(
    tmp_path, shape, chunked
):
    path = tmp_path / "predictions.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", shape, "f4", chunks=(1, *shape[1:]) if chunked else None)
    for read in (read_predictions, load_checkpoint, lambda path: JetFiles([path], dataset("top"))):
        with pytest.raises(UserError, match=r"'data' claims the shape \(.*cannot hold"):
            read(path)


def test_an_archive_of_absurdly_wide_jets_is_refused(tmp_path):
    path = tmp_path / "QG_jets.npz"
    np.savez_compressed(path, X=np.zeros((2, 10**6, 4), "f4"), y=np.zeros(2))
    assert zipfile.is_zipfile(path)
    with pytest.raises(UserError, match="X claims 4000000 numbers per jet"):
        qg.count(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("format_version", "two"), ("format_version", [1, 2]), ("classes", 3.5), ("features", [1, 2])],
)
def test_attributes_of_other_types_are_refused(tmp_path, key, value):
    spec, path = dataset("top"), tmp_path / "jets.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["jet"] = np.zeros((3, 5, spec.num_features)), np.zeros((3, 4))
        file["pid"], file.attrs[key] = np.zeros(3), value
    with pytest.raises(UserError, match=key):
        JetFiles([path], spec)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        '"text"',
        "[" * 100_000,
        '{"config": null}',
        '{"config": {"lr": 1e999}}',
        '{"config": {"epochs": 1.5}}',
        '{"config": {"epochs": true}}',
        '{"config": {"name": ["a"]}}',
        '{"config": {"lr": "3e-5"}}',
        '{"config": {}, "dataset": ["top"]}',
        '{"config": {}, "task": {"a": 1}}',
        '{"config": {}, "folds": -1}',
    ],
)
def test_a_configuration_of_other_types_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is not a configuration of this suite"):
        read_config(tmp_path / "config.json")


def test_looking_up_a_missing_key_of_a_configuration_names_it(tmp_path):
    (tmp_path / "config.json").write_text('{"config": {}}')
    _, about = read_config(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"config\.json: no 'dataset' among its keys"):
        about["dataset"]


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"epoch": 10**9},
        {"step": 0.5},
        {"sums": [1.0]},
        {"history": "none"},
        {"history": [{"epoch": "one"}], "epoch": 1},
        {"best_loss": "low"},
        {"finished": 1},
        {"another": 0},
    ],
)
def test_an_absurd_position_in_an_intact_checkpoint_is_refused(tmp_path, change):
    record = {"position": {**Position().as_json(), **change}}
    save_checkpoint(tmp_path / "last.h5", SMALL, {"body.kernel": np.ones((8, 8), "f4")}, record)
    with pytest.raises(UserError, match=r"last\.h5 holds no position of a training"):
        latest_intact_checkpoint(tmp_path)


def test_an_architecture_that_the_weights_do_not_have_is_refused(tmp_path):
    path = tmp_path / "best.h5"
    for change in ({"projection_dim": 10**9}, {"num_layers": 10**6}, {"num_heads": 0}):
        config = object.__new__(PETConfig)
        vars(config).update({**vars(SMALL), **change})
        save_checkpoint(path, config, {"body.kernel": np.ones((8, 8), "f4")}, {})
        with pytest.raises(UserError, match=r"best\.h5: architecture or record is not understood"):
            load_checkpoint(path)


def test_every_array_and_attribute_that_we_write_has_a_sum(tmp_path):
    path = tmp_path / "a.h5"
    with atomic_file(path) as file:
        file["data"], file["scalar"] = np.arange(300.0), 3
        file.create_dataset("group/text", data="jets")
        file.attrs["classes"], file.attrs["number"] = ["QCD", "top"], 7
    with h5py.File(path, "r") as file:
        assert file["data"].fletcher32
        record = json.loads(file.attrs[DIGEST])
        assert set(record["sums"]) == {"", "data", "scalar", "group", "group/text"}
        assert list(file.attrs["classes"]) == ["QCD", "top"]  # as other programs read them
    for change in (
        lambda file: file["scalar"].write_direct(np.array(4)),
        lambda file: file.attrs.modify("number", 8),
        lambda file: file["data"].attrs.update(unit="GeV"),
    ):
        copy = tmp_path / "copy.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "a") as file:
            change(file)
        with pytest.raises(OSError, match="is not as it was written"):
            open_for_reading(copy)


def test_text_is_read_from_the_copy_that_has_a_sum(tmp_path):
    path = tmp_path / "a.h5"
    with atomic_file(path) as file:
        file.attrs["origin"] = "simulated"
    offsets = [match.start() for match in re.finditer(b"simulated", path.read_bytes())]
    assert len(offsets) == 2
    outcomes = []
    for offset in offsets:
        flip_bit(path, offset)
        try:
            with open_for_reading(path) as file:
                outcomes.append(attributes(file)["origin"])
        except OSError as error:
            outcomes.append(str(error)[:13])
        flip_bit(path, offset)
    assert sorted(outcomes) == ["it is damaged", "simulated"]


def test_a_lost_or_changed_line_of_the_history_is_noticed(tmp_path):
    lines = [{"epoch": epoch, "training": {"loss": 0.5}} for epoch in (1, 2, 3)]
    write_history(tmp_path, lines)
    assert read_history(tmp_path) == lines
    path = tmp_path / "history.jsonl"
    text = path.read_text()
    for changed in (text.replace("0.5", "0.6", 1), "".join(text.splitlines(True)[:2])):
        path.write_text(changed)
        with pytest.raises(UserError, match=r"history\.jsonl: its 'digest' does not fit"):
            read_history(tmp_path)
