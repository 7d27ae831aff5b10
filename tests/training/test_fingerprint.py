"""A training is resume with the same jets, or refused with the changes."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tiny_training
from tiny_training import opened, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.data.catalogue import TOP
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.training import distributed, fingerprint
from omnilearn.training.resume import Position

BATCH = 8
CONFIG = Config(epochs=1, batch=BATCH, lr=5e-3, warmup_epochs=0, mode="classifier")


@pytest.fixture
def folder(tmp_path):
    return write_jets(tmp_path / "data", train=24, val=9)


def pipelines(folder):
    return opened(folder, "train", BATCH), opened(folder, "val", BATCH)


@pytest.fixture
def interrupted(folder, tmp_path):
    """A trainer that has written a checkpoint."""
    data = pipelines(folder)
    trainer = tiny_trainer(tmp_path, CONFIG, data[0])
    trainer.trained_on = fingerprint.same_on_all_ranks(*data)
    trainer.position = Position(step=1, sums={"loss": 1.0})
    trainer.save("last.h5")
    return trainer


def resume(trainer, folder, **changed):
    trainer.config = replace(CONFIG, **changed)
    trainer.trained_on = fingerprint.same_on_all_ranks(*pipelines(folder))
    trainer.resume()


def flip_labels(path):
    with h5py.File(path, "r+") as file:
        file["pid"][...] = 1 - file["pid"][...]


def test_jets_may_be_moved_to_another_folder(interrupted, folder, tmp_path, capsys):
    folder.rename(tmp_path / "moved")
    resume(interrupted, tmp_path / "moved")
    assert "resuming" in capsys.readouterr().out


def test_labels_flipped_in_place_are_refused_naming_the_file(interrupted, folder):
    flip_labels(folder / "train.h5")
    with pytest.raises(
        UserError,
        match=r"last\.h5 was trained on other data .*training jets "
        r"\(train\.h5 has another content\).*--accept-changed-data",
    ):
        resume(interrupted, folder)


def test_other_jets_are_refused_with_the_numbers_of_rows(interrupted, folder):
    (folder / "val.h5").unlink()
    write_jets(folder, val=12)
    with pytest.raises(UserError, match=r"validation jets \(val\.h5 has 9 rows, now 12\)"):
        resume(interrupted, folder)


def test_another_standardisation_of_the_same_jets_is_refused(interrupted, folder, monkeypatch):
    constants = replace(TOP.normalisation, jet_mean=(1.0, 0.0, 1.0, 1.0))
    monkeypatch.setattr(tiny_training, "SPEC", replace(tiny_training.SPEC, normalisation=constants))
    with pytest.raises(UserError, match="there are now: standardisation of the inputs"):
        resume(interrupted, folder)


def test_accepted_changes_are_logged_and_in_the_next_checkpoint(interrupted, folder, capsys):
    flip_labels(folder / "train.h5")
    resume(interrupted, folder, accept_changed_data=True)
    output = capsys.readouterr().out
    assert "going on with other data than" in output
    assert "train.h5 has another content" in output
    interrupted.save("last.h5")
    resume(interrupted, folder)


def test_other_code_alone_is_logged(interrupted, folder, monkeypatch, capsys):
    monkeypatch.setattr(fingerprint, "code", lambda: "other")
    resume(interrupted, folder)
    assert "the code has changed since" in capsys.readouterr().out
    assert interrupted.position.step == 1


def test_a_checkpoint_without_a_fingerprint_is_not_compared(interrupted, folder):
    interrupted.trained_on = {}
    interrupted.save("last.h5")
    flip_labels(folder / "train.h5")
    resume(interrupted, folder)
    assert load_checkpoint(interrupted.run / "last.h5").record["trained_on"] == {}


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            {"training": [["train.h5", 400, "a"]]},
            r"training jets \(train\.h5 has 24 rows, now 400\)",
        ),
        ({"code": "b"}, r"code \(revision"),
    ],
)
def test_ranks_with_other_jets_or_code_are_refused_on_every_rank(
    folder, monkeypatch, change, difference
):
    """One process, with the arrays of a second rank added to those of an allgather."""
    data = pipelines(folder)
    second = {**fingerprint.fingerprint(*data), **change}
    sent = []

    def allgather(rows):
        """Digests in the first call, then lengths, then texts, of both ranks."""
        sent.append(rows)
        text = json.dumps({**second, "host": "node2"}).encode()
        rows_of_second = {1: rows ^ 1, 2: rows * 0 + np.int64(len(text)), 3: list(text)}[len(sent)]
        return np.concatenate([rows, np.array(rows_of_second, rows.dtype)])

    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "allgather", allgather)
    with pytest.raises(
        UserError, match=f"rank 1 on node2 trains with other {difference}.* than rank 0"
    ):
        fingerprint.same_on_all_ranks(*data)
