"""Epochs of a given number of jets are parts of passes, and a pass has every jet once."""

from dataclasses import replace

import numpy as np
import pytest
from toy_jets import write_toy_file

from omnilearn.data.catalogue import TOP
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError

SPEC = replace(TOP, max_constituents=24)
JETS, BATCH = 500, 10


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jets")
    for part, jets in enumerate((300, 200)):
        write_toy_file(folder / f"{part}.h5", SPEC, jets, seed=part)
    with JetFiles(sorted(folder.glob("*.h5")), SPEC) as files:
        yield files


def pipelines(files, ranks, jets_per_epoch):
    return [
        Pipeline(files, SPEC, BATCH, rank, ranks, seed=3, window=40, jets_per_epoch=jets_per_epoch)
        for rank in range(ranks)
    ]


def jets_of(pipelines, epoch):
    return np.concatenate(
        [batch["index"] for pipeline in pipelines for batch in pipeline.epoch(epoch)]
    )


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_five_epochs_of_a_fifth_have_every_jet_once(files, ranks):
    parts = [jets_of(pipelines(files, ranks, JETS // 5), epoch) for epoch in range(10)]
    assert {len(part) for part in parts} == {JETS // 5}
    for first in (0, 5):
        jets = np.sort(np.concatenate(parts[first : first + 5]))
        np.testing.assert_array_equal(jets, np.arange(JETS))
    assert not np.array_equal(parts[0], parts[5])


@pytest.mark.parametrize("jets_per_epoch", [70, 130, pytest.param(490, marks=pytest.mark.slow)])
def test_a_pass_goes_on_where_an_epoch_ends(files, jets_per_epoch):
    """The batches of consecutive passes, cut into epochs of equal length."""
    (parts,), (passes,) = pipelines(files, 1, jets_per_epoch), pipelines(files, 1, 0)
    epochs = 8
    cut = [batch["index"] for epoch in range(epochs) for batch in parts.epoch(epoch)]
    assert len(cut) == epochs * parts.steps_per_epoch == epochs * jets_per_epoch // BATCH
    uncut = [batch["index"] for epoch in range(epochs) for batch in passes.epoch(epoch)]
    np.testing.assert_array_equal(cut, uncut[: len(cut)])


@pytest.mark.parametrize("jets_per_epoch", [0, JETS, 10 * JETS])
def test_an_epoch_is_a_pass_at_most(files, jets_per_epoch):
    (pipeline,) = pipelines(files, 1, jets_per_epoch)
    assert pipeline.steps_per_epoch == pipeline.steps_per_pass == JETS // BATCH
    np.testing.assert_array_equal(np.sort(jets_of([pipeline], 1)), np.arange(JETS))


@pytest.mark.parametrize("epoch", [0, 1, 2])
@pytest.mark.parametrize("start", [0, 3, 15, 18])
def test_a_resumed_epoch_equals_the_rest_of_an_uninterrupted_one(files, epoch, start):
    """Epoch 1 and 2 begin within a window, and epoch 2 reaches into the next pass."""
    (pipeline,) = pipelines(files, 1, 190)
    uninterrupted = list(pipeline.epoch(epoch))
    resumed = list(pipeline.epoch(epoch, start_step=start))
    assert len(uninterrupted) == 19
    for expected, batch in zip(uninterrupted[start:], resumed, strict=True):
        for key, array in expected.items():
            np.testing.assert_array_equal(batch[key], array)


def test_ranks_have_equal_slots_at_each_step_of_a_part(files):
    slots = [
        [batch["mask"].shape for epoch in range(4) for batch in pipeline.epoch(epoch)]
        for pipeline in pipelines(files, 3, 150)
    ]
    assert slots[0] == slots[1] == slots[2]


def test_an_epoch_of_less_than_a_batch_per_rank_is_refused(files):
    message = "--jets-per-epoch is 19; one batch of 10 on each of 2 ranks takes 20"
    with pytest.raises(UserError, match=message):
        _ = pipelines(files, 2, 19)[0].steps_per_epoch
