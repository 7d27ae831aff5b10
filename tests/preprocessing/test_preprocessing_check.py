"""The check of a file: its summary, and the sentences about what the suite cannot train on."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from commands import output_of, refusal_of
from toy_jets import write_toy_dataset, write_toy_file

from omnilearn.data.catalogue import ASPEN, TOP
from preprocessing import check
from preprocessing.moments import Moments


@pytest.fixture
def top_file(tmp_path):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, TOP, 300, 0)
    return path


def row(printed: str, name: str) -> list[str]:
    """The words after the name that begins a line."""
    return re.search(rf"^ +{re.escape(name)}:? +(.*)$", printed, re.MULTILINE)[1].split()


def numbers(printed: str, name: str) -> list[float]:
    return [float(word.rstrip("%")) for word in row(printed, name)]


def test_moments_of_buffers_are_those_of_all_values():
    values = np.random.default_rng(0).normal(1e4, 1.0, (1000, 3))
    moments = Moments(("a", "b", "c"))
    for part in np.array_split(values, 7):
        moments.add(part.astype(np.float32))
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(moments.std, values.std(axis=0), rtol=1e-3)
    np.testing.assert_allclose(moments.low, values.min(axis=0), rtol=1e-7)
    assert moments.count.tolist() == [1000] * 3


def test_values_that_are_not_finite_are_counted_and_left_out():
    moments = Moments(("a", "b"))
    moments.add(np.array([[1.0, np.nan], [3.0, np.inf], [np.nan, -np.inf]]))
    assert moments.not_finite.tolist() == [1, 3]
    assert moments.summary("a") == (1.0, 2.0, 1.0, 3.0)
    assert np.isnan(moments.summary("b")).all()


def test_printed_numbers_are_those_of_the_file(preprocess, top_file, monkeypatch):
    monkeypatch.setattr(check, "BUFFER_ROWS", 64)
    out = output_of(preprocess("check", top_file))
    assert out.endswith("fits top\n")
    with h5py.File(top_file) as file:
        data, jet, pid = (file[key][:] for key in ("data", "jet", "pid"))
    real = data[(data != 0).any(axis=-1)]
    expected = real.min(axis=0), real.mean(axis=0), real.std(axis=0), real.max(axis=0)
    for name, column in (("eta_rel", 0), ("log_pt", 3), ("delta_r", 6)):
        moments = [values[column] for values in expected]
        assert numbers(out, name) == pytest.approx(moments, rel=1e-3, abs=1e-4)
    assert numbers(out, "jet_mass")[1] == pytest.approx(jet[:, 2].mean(), rel=1e-4)
    tops, mass = np.count_nonzero(pid), jet[pid == 1, 2].mean()
    assert numbers(out, "top") == pytest.approx(
        [tops, 100 * tops / 300, tops, mass, jet[pid == 1, 3].mean()], rel=1e-3
    )
    assert f"{len(real)} constituents" in out


def test_the_provenance_of_a_file_is_printed(preprocess, write_top, tmp_path, convert):
    write_top(tmp_path / "raw" / "train.h5", n=30)
    convert("top", "--splits", "train", "--seed", 4)
    (path,) = tmp_path.rglob("top_train_*.h5")
    out = output_of(preprocess("check", path))
    provenance = {"dataset": "top", "split": "train", "origin": "public", "seed": "4"}
    for name, value in (provenance | {"sources": "train.h5"}).items():
        assert row(out, name) == [value]


def test_a_file_of_the_released_code_is_checked_when_its_dataset_is_named(preprocess, tmp_path):
    write_toy_dataset(tmp_path, "jetclass", {"train": 60}, released=True)
    (path,) = tmp_path.rglob("*.h5")
    err = refusal_of(preprocess("check", path))
    assert err.endswith("does not name its dataset; add --dataset, e.g. --dataset top\n")
    out = output_of(preprocess("check", path, "--dataset", "jetclass"))
    assert "filled where not zero" in out
    assert out.endswith("fits jetclass\n")


def spoil(path, key, value, place):
    with h5py.File(path, "a") as file:
        file[key][place] = value


def test_each_value_that_is_not_finite_is_counted(preprocess, top_file):
    spoil(top_file, "data", np.nan, (3, 0, 2))
    spoil(top_file, "jet", np.inf, (250, 2))
    spoil(top_file, "weight", np.nan, 7)
    status, out, err = preprocess("check", top_file)
    assert status == 2
    assert "NaN or infinite: 3 values" in out
    assert re.fullmatch(r"error: .*: 3 values that are no finite numbers; make it .*\n", err)


def test_constituents_at_the_floor_of_the_logarithm_are_counted(preprocess, top_file):
    for column in (2, 4):
        spoil(top_file, "data", np.log(1e-6), (slice(0, 5), 0, column))
    assert "log(1 - rel) on its floor: 10 values" in output_of(preprocess("check", top_file))


def test_fillers_in_empty_slots_are_no_constituents(preprocess, top_file):
    with h5py.File(top_file, "a") as file:
        del file["multiplicity"]
    spoil(top_file, "data", -999, (3, -1))
    err = refusal_of(preprocess("check", top_file))
    assert "a delta_r of -999: fillers in empty slots" in err


def test_labels_outside_the_classes_are_named_with_their_row(preprocess, top_file):
    spoil(top_file, "pid", 2, slice(40, 43))
    err = refusal_of(preprocess("check", top_file))
    assert "'pid' names no class of QCD, top in 3 jets, the first in row 40;" in err


def test_momenta_in_mev_are_refused(preprocess, top_file):
    with h5py.File(top_file, "a") as file:
        file["jet"][:, 0] = file["jet"][:, 0] * 1000
    err = refusal_of(preprocess("check", top_file))
    assert "looks like MeV, divide the momenta by 1000" in err


def test_a_jet_without_constituents_counts_in_no_mean(preprocess, top_file):
    mean = numbers(preprocess("check", top_file)[1], "jet_pt")[1]
    for key in ("data", "jet", "multiplicity"):
        spoil(top_file, key, 0, 0)
    out = preprocess("check", top_file)[1]
    assert "jets without constituents: 1" in out
    assert numbers(out, "jet_pt")[0] > 500
    assert numbers(out, "jet_pt")[1] == pytest.approx(mean, rel=1e-2)


def test_other_shapes_keys_and_names_are_one_sentence(preprocess, top_file, tmp_path):
    status, out, err = preprocess("check", top_file, "--dataset", "qg")
    assert (status, err.count("\n")) == (2, 1)
    assert "is of the dataset top, but --dataset is qg" in err
    with h5py.File(top_file, "a") as file:
        del file["jet"]
    status, out, err = preprocess("check", top_file)
    assert (status, err.count("\n")) == (2, 1)
    assert "(300, 150, 7) float32" in out  # the other datasets are listed before the refusal
    assert "no numeric 'jet' among its keys" in err
    for path, message in ((tmp_path / "none.h5", "not found"), (tmp_path / "text.h5", "damaged")):
        if message == "damaged":
            path.write_text("no HDF5")
        status, _, err = preprocess("check", path)
        assert (status, err.count("\n")) == (2, 1)
        assert message in err


def test_a_figure_has_every_input(preprocess, tmp_path, monkeypatch):
    write_toy_file(tmp_path / "some.h5", replace(ASPEN, max_constituents=30), 80, 1)
    plotted = []
    plot = check.input_distributions
    monkeypatch.setattr(
        check,
        "input_distributions",
        lambda panels, *rest: (plotted.extend(panels), plot(panels, *rest)),
    )
    out = output_of(preprocess("check", tmp_path / "some.h5", "--plot", tmp_path / "in.png"))
    assert f"figure: {tmp_path / 'in'}.png and .pdf" in out
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"in{suffix}").stat().st_size > 10_000
    assert len(plotted) == 4 + 13
    assert {panel.counts.shape[0] for panel in plotted} == {1}
    for panel in plotted[:4]:
        assert panel.counts.sum() == 80
    assert len({panel.counts.sum() for panel in plotted[4:]}) == 1
