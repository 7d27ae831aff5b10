"""A training goes on with the jets it began with, or says what changed."""

from dataclasses import replace

import h5py
import pytest
from tiny_training import opened, tiny_trainer, write_jets

from omnilearn.config import Config
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
def begun(folder, tmp_path):
    """A trainer that has written a checkpoint and is about to be started again."""
    data = pipelines(folder)
    trainer = tiny_trainer(tmp_path, CONFIG, data[0])
    trainer.trained_on = fingerprint.same_on_all_ranks(*data)
    trainer.position = Position(step=1, sums={"loss": 1.0})
    trainer.save("last.h5")
    return trainer


def resumed(trainer, folder, **changed):
    trainer.config = replace(CONFIG, **changed)
    trainer.trained_on = fingerprint.same_on_all_ranks(*pipelines(folder))
    trainer.resume()


def flip_labels(path):
    with h5py.File(path, "r+") as file:
        file["pid"][...] = 1 - file["pid"][...]


def test_the_same_jets_in_another_folder_are_the_same(begun, folder, tmp_path, capsys):
    folder.rename(tmp_path / "moved")
    resumed(begun, tmp_path / "moved")
    assert "resuming" in capsys.readouterr().out


def test_labels_flipped_in_place_are_refused_naming_the_file(begun, folder):
    flip_labels(folder / "train.h5")
    with pytest.raises(
        UserError,
        match=r"last\.h5 was trained on other data .*training jets "
        r"\(train\.h5 has another content\).*--accept-changed-data",
    ):
        resumed(begun, folder)


def test_other_jets_are_refused_with_their_numbers(begun, folder):
    (folder / "val.h5").unlink()
    write_jets(folder, val=12)
    with pytest.raises(UserError, match=r"validation jets \(val\.h5 has 9 rows, now 12\)"):
        resumed(begun, folder)


def test_changed_data_that_are_accepted_are_said_and_are_those_of_the_next_checkpoint(
    begun, folder, capsys
):
    flip_labels(folder / "train.h5")
    resumed(begun, folder, accept_changed_data=True)
    said = capsys.readouterr().out
    assert "going on with other data than" in said
    assert "train.h5 has another content" in said
    begun.save("last.h5")
    resumed(begun, folder)


def test_other_code_alone_is_said_and_goes_on(begun, folder, monkeypatch, capsys):
    monkeypatch.setattr(fingerprint, "code", lambda: "other")
    resumed(begun, folder)
    assert "the code has changed since" in capsys.readouterr().out
    assert begun.position.step == 1


def test_a_checkpoint_without_a_fingerprint_is_taken_as_it_is(begun, folder):
    begun.trained_on = {}
    begun.save("last.h5")
    flip_labels(folder / "train.h5")
    resumed(begun, folder)
    assert load_checkpoint(begun.run / "last.h5").record["trained_on"] == {}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"training": [["train.h5", 400, "a"]]},
            r"training jets \(train\.h5 has 24 rows, now 400\)",
        ),
        ({"code": "b"}, r"code \(revision"),
    ],
)
def test_ranks_with_other_jets_or_code_are_refused_on_every_rank(folder, monkeypatch, other, said):
    """Two ranks played by one process: what the second one has is put beside what is gathered."""
    data = pipelines(folder)
    theirs = {**fingerprint.fingerprint(*data), **other}
    sent = []

    def allgather(rows):
        """First digests, then lengths, then texts, of this rank and of the other."""
        sent.append(rows)
        text = fingerprint.json.dumps({**theirs, "host": "node2"}).encode()
        kinds = {1: rows ^ 1, 2: rows * 0 + len(text), 3: list(text)}
        other = fingerprint.np.array(kinds[len(sent)], rows.dtype)
        return fingerprint.np.concatenate([rows, other])

    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "allgather", allgather)
    with pytest.raises(UserError, match=f"rank 1 on node2 trains with other {said}.*rank 0 on"):
        fingerprint.same_on_all_ranks(*data)
