"""Files of predictions: what was written is read, and damaged files are refused."""

import h5py
import numpy as np
import pytest

from omnilearn.config import Config, Evaluation
from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.errors import UserError
from omnilearn.hdf5_sums import DIGEST
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.tagging.task import evaluate, metrics

ABOUT = {"dataset": "top", "model": "top_scratch", "data": "simulated", "split": "test"}


@pytest.fixture
def predicted():
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=(50, 2)).astype("float32"),
        "label": rng.integers(0, 2, 50),
        "weight": rng.random(50).astype("float32"),
        "index": np.arange(50),
    }


def test_predictions_are_read_as_they_were_written(predicted, tmp_path):
    write_predictions(tmp_path / "predictions.h5", predicted, ABOUT)
    arrays, about = read_predictions(tmp_path / "predictions.h5")
    assert about == ABOUT
    for name, values in predicted.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype


def test_a_missing_or_shortened_array_is_named(predicted, tmp_path):
    path = tmp_path / "predictions.h5"
    write_predictions(path, predicted, ABOUT)
    with h5py.File(path, "a") as file:
        del file["weight"], file.attrs[DIGEST]
    with pytest.raises(UserError, match="'weight' among its keys"):
        read_predictions(path)
    write_predictions(path, predicted | {"label": predicted["label"][:40]}, ABOUT)
    with pytest.raises(UserError, match="'label' has shape"):
        read_predictions(path)


def test_a_truncated_file_is_refused_with_the_command_that_mends_it(predicted, tmp_path):
    path = tmp_path / "predictions.h5"
    write_predictions(path, predicted, ABOUT)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"python evaluate\.py"):
        read_predictions(path)


def test_predictions_of_another_split_are_refused(predicted, tmp_path):
    write_predictions(tmp_path / "predictions.h5", predicted, ABOUT | {"split": "val"})
    arguments = tmp_path, TOP, Config(), {}
    results = evaluate(*arguments, Evaluation(from_predictions=True, split="val"))
    assert results["accuracy"].n == 50
    with pytest.raises(UserError, match="is of the split val, not test; give --split val"):
        evaluate(*arguments, Evaluation(from_predictions=True))


def test_two_classes_of_ten_have_the_numbers_of_a_dataset_of_two(predicted, tmp_path):
    """The second of them is the signal; logits of the other classes do not matter."""
    expected = metrics(TOP, predicted)
    columns = [JETCLASS.class_names.index(name) for name in ("Hcc", "Tbqq")]
    logits = np.full((50, 10), 9.0, "float32")
    logits[:, columns] = predicted["logits"]
    of_ten = {**predicted, "logits": logits, "label": np.take(columns, predicted["label"])}
    of_two = metrics(JETCLASS, of_ten, "Tbqq, Hcc")
    assert of_two.pop("curves")["Tbqq"] == expected.pop("curves")["top"]
    names = expected.keys() & of_two.keys()
    assert {"auc", "accuracy", "rejection_0.5"} <= names
    assert {name: of_two[name] for name in names} == {name: expected[name] for name in names}
