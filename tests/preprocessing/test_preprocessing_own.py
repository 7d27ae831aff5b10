"""A dataset of your own: its files, its declaration, and what is refused."""

import json
from dataclasses import replace

import awkward as ak
import flat_files
import h5py
import numpy as np
import pandas as pd
import pytest
from commands import output_of
from documented import run_example
from public_order import in_public_order

from omnilearn.content import is_as_written
from omnilearn.data.catalogue import JETCLASS_NORMALISATION, TOP, dataset
from omnilearn.data.layout import find_files
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from preprocessing import own, own_constituents
from preprocessing.jets_in_memory import JetsInMemory
from preprocessing.own import write_dataset
from preprocessing.own_columns import class_numbers
from preprocessing.sources import SPLITS

ABOUT = {"classes": ("QCD", "top"), "jet_radius": 0.8, "jet_pt_range": (550.0, 650.0)}
JETS = 120


@pytest.fixture
def jets(toy_jets):
    """Awkward records, the same jets padded, and labels."""
    momenta, counts, total = toy_jets(JETS)
    label = np.random.default_rng(1).integers(0, 2, JETS)
    padded = flat_files.padded(momenta, counts, counts.max())
    columns = zip(("pt", "eta", "phi", "energy"), momenta.T, strict=True)
    return ak.zip({k: ak.unflatten(v, counts) for k, v in columns}), padded, label, total


def test_every_jet_is_in_exactly_one_split_as_the_sum_of_its_constituents(jets, tmp_path):
    records, _, label, total = jets
    paths = write_dataset(tmp_path, "mine", records, label, **ABOUT)
    names = ["mine_train_000.h5", "mine_val_000.h5", "mine_test_000.h5", "dataset.json"]
    assert [path.name for path in paths] == names
    stored = in_public_order(tmp_path / "mine")
    np.testing.assert_allclose(stored["jet"][:, 0], total[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(stored["pid"], label)
    np.testing.assert_array_equal(stored["jet"][:, 3], ak.num(records))


def test_files_of_arrays_carry_the_digest_of_their_content(jets, tmp_path):
    records, _, label, _ = jets
    *paths, _ = write_dataset(tmp_path, "mine", records, label, **ABOUT)
    assert all(is_as_written(path) for path in paths)
    with h5py.File(paths[0], "r+") as file:
        file["jet"][0, 0] += 1
    assert not is_as_written(paths[0])


def test_padded_and_ragged_jets_give_the_same_files(jets, tmp_path):
    records, padded, label, _ = jets
    shuffled = np.random.default_rng(2).permuted(np.arange(padded.shape[1]))
    for name, momenta in (("ragged", records), ("padded", padded[:, shuffled])):
        write_dataset(tmp_path, name, momenta, label, **ABOUT)
    ragged, stored = in_public_order(tmp_path / "ragged"), in_public_order(tmp_path / "padded")
    for key in ("data", "pid", "multiplicity"):
        np.testing.assert_array_equal(stored[key], ragged[key])


def test_particle_ids_become_charge_and_flags(jets, tmp_path):
    records, padded, label, _ = jets
    ids = ak.where(records.pt > 5, -211, 22)
    write_dataset(tmp_path, "mine", ak.with_field(records, ids, "pdg_id"), label, **ABOUT)
    data = in_public_order(tmp_path / "mine")["data"]
    real = data[(data != 0).any(axis=-1)]
    hard = real[:, 3] > np.log(5)
    assert data.shape[-1] == 13
    assert (real[hard, 7] == -1).all()
    assert (real[hard, 8] == 1).all()
    assert (real[~hard, 10] == 1).all()
    columns = np.where(padded[..., :1] > 5, -211, 22)
    write_dataset(tmp_path, "other", np.concatenate([padded, columns], 2), label, **ABOUT)
    np.testing.assert_array_equal(in_public_order(tmp_path / "other")["data"], data)


def test_the_declared_dataset_is_found_by_its_name(jets, tmp_path):
    records, _, label, _ = jets
    weight = np.linspace(0.5, 1.5, JETS)
    write_dataset(tmp_path, "mine", records, label, weight=weight, max_constituents=20, **ABOUT)
    spec = dataset("mine", tmp_path)
    assert spec.class_names == ("QCD", "top")
    assert (spec.num_features, spec.max_constituents, spec.signal) == (7, 20, 1)
    assert spec.normalisation.feature_mean == JETCLASS_NORMALISATION.feature_mean
    with JetFiles(find_files(tmp_path, spec, "train"), spec) as files:
        arrays = files.read(0, files.num_jets)
        assert files.origin == "own"
    np.testing.assert_allclose(spec.normalisation.jet_mean, arrays["jet"].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(spec.normalisation.jet_std, arrays["jet"].std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(in_public_order(tmp_path / "mine")["weight"], weight, rtol=1e-6)


def test_check_finds_the_declaration_above_the_file(jets, tmp_path, preprocess):
    records, _, label, _ = jets
    path, *_ = write_dataset(tmp_path, "mine", records, label, **ABOUT)
    out = output_of(preprocess("check", path))
    assert out.endswith("fits mine\n")


def changed(padded, jet, column, value):
    momenta = padded.copy()
    momenta[jet, 0, column] = value
    return momenta


COLUMNS = np.zeros(JETS, [("run", int), ("event", int)])
MISTAKES = {
    "flat": ({"constituents": lambda p: p[:, 0]}, r"constituents: shape \(120, 4\)"),
    "objects": ({"constituents": lambda p: p.astype(object)}, "constituents: shape .* of object"),
    "lists of other lengths": (
        {
            "constituents": lambda p: ak.Array(
                [{"pt": [1.0], "eta": [1.0], "phi": [1.0], "energy": [1.0, 1.0]}]
            )
        },
        "constituents: pt, eta, phi, energy differ in length",
    ),
    "no energy": ({"constituents": lambda p: ak.Array([[{"pt": 1.0}]])}, "constituents: pt with"),
    "prefixed fields": (
        {
            "constituents": lambda p: ak.Array(
                [[{f"part_{key}": 1.0 for key in own_constituents.MOMENTUM}]]
            )
        },
        "'part_pt' is not known; expected awkward jets",
    ),
    "two unknown fields": (
        {
            "constituents": lambda p: ak.Array(
                [[dict.fromkeys((*own_constituents.MOMENTUM, "d0", "dz"), 1.0)]]
            )
        },
        r"leave it out, for instance with constituents\[\['pt', 'eta', 'phi', 'energy'\]\]",
    ),
    "nan": ({"constituents": lambda p: changed(p, 7, 1, np.nan)}, "jet 7 .* not finite"),
    "negative": ({"constituents": lambda p: changed(p, 3, 0, -1.0)}, "jet 3 .* negative pt; empty"),
    "degrees": ({"constituents": lambda p: changed(p, 5, 2, 90.0)}, "jet 5 .* radians"),
    "far forward": (
        {"constituents": lambda p: changed(p, 5, 1, 25.0)},
        "jet 5 .* an abs.eta. beyond 20",
    ),
    "absurd": ({"constituents": lambda p: changed(p, 6, 3, 1e9)}, "jet 6 .* 1e.08 GeV or more"),
    "phi at the limit": ({"constituents": lambda p: changed(p, 5, 2, 7.0)}, "jet 5 .* radians"),
    "eta at the limit": ({"constituents": lambda p: changed(p, 5, 1, 20.0)}, "jet 5 .* beyond 20"),
    "absurd sum": (
        {"constituents": lambda p: changed(p, 8, [0, 2, 3], [9.9e7, 0.0, 1e8 - 1])},
        "jet 8 .* an impossible jet pt, eta, phi or energy; leave such jets out$",
    ),
    "empty jets": ({"constituents": lambda p: 0 * p}, "none of 120 jets has any of a pt above 0"),
    "order": ({"constituents": lambda p: p[..., [3, 1, 2, 0]]}, "less energy than momentum"),
    "MeV": ({"constituents": lambda p: p * [1000, 1, 1, 1000]}, "looks like MeV"),
    "label": ({"label": lambda y: np.where(np.arange(JETS) == 4, 2, y)}, "label: 2 in jet 4"),
    "labels": ({"label": lambda y: y[:-1]}, "label: 119 of them for 120 jets"),
    "names": ({"label": lambda y: y.astype(str)}, "label: [01] in jet 0 .* one of QCD, top"),
    "weight": ({"weight": np.full(JETS, np.inf)}, "not a finite number in jet 0 .* leave"),
    "name": ({"name": "top"}, "name 'top': expected small letters"),
    "folder": ({"name": "../mine"}, r"name '\.\./mine': expected small letters"),
    "no class": ({"classes": ()}, r"classes \(\): expected 1 to"),
    "one text": ({"classes": "QT"}, "classes 'QT': expected a sequence of names"),
    "a set of classes": ({"classes": {"QCD"}}, "classes .*: expected a sequence of names"),
    "numbered classes": ({"classes": {"top": 1, "QCD": 0}}, "expected a sequence of names"),
    "a number of classes": ({"classes": 2}, "classes 2: expected a sequence of names"),
    "unprintable class": ({"classes": ("QCD\n", "top")}, "expected 1 to 100 printable names"),
    "comma in a class": ({"classes": ("q,g", "top")}, "all different, without commas, slashes"),
    "slash in a class": ({"classes": ("q/g", "top")}, "without commas, slashes, and spaces"),
    "space after a class": ({"classes": ("QCD ", "top")}, "and spaces at the ends"),
    "no labels": ({"label": None}, "label: None is a single value; expected one for each jet"),
    "one weight": ({"weight": 2.5}, "weight: 2.5 is a single value; expected one for each jet"),
    "numbers as classes": ({"classes": (0, 1)}, "classes .*: expected a sequence of names"),
    "one number": ({"jet_pt_range": 550.0}, "jet_pt_range 550.0: expected two rising numbers"),
    "half a slot": ({"max_constituents": 60.5}, "max_constituents 60.5: expected a whole number"),
    "list of shares": ({"splits": [0.8, 0.2]}, "splits .*: expected shares by name"),
    "no radius": ({"jet_radius": None}, "jet_radius None: expected a number above zero"),
    "no jets": ({"constituents": lambda p: p[:0]}, "constituents: no jets"),
    "missing label": ({"label": lambda y: [None, *y[1:]]}, "label: missing in jet 0"),
    "masked label": (
        {"label": lambda y: np.ma.array(y, mask=np.arange(JETS) == 5)},
        "label: missing in jet 5",
    ),
    "masked weight": (
        {"weight": ak.mask(ak.Array(np.ones(JETS)), np.arange(JETS) != 9)},
        "weight: missing in jet 9",
    ),
    "weight of nothing": ({"weight": np.zeros(JETS)}, "weight: zero for all jets"),
    "not one-hot": ({"label": lambda y: np.ones((JETS, 2))}, r"label: \[1.0, 1.0\] in jet 0"),
    "columns as group": ({"group": COLUMNS}, "group: columns run, event; expected one value for"),
    "columns as label": ({"label": COLUMNS}, "label: columns run, event; expected one value for"),
    "columns as weight": ({"weight": COLUMNS}, "weight: columns run, event; expected one value"),
    "group of NaN": ({"group": np.full(JETS, np.nan)}, "group: not a finite number in jet 0"),
    "groups": ({"group": np.zeros(3)}, "group: 3 of them for 120 jets"),
    "missing group": ({"group": [None] * JETS}, "group: missing in jet 0"),
    "range": ({"jet_pt_range": (650.0, 550.0)}, "expected two rising numbers in GeV"),
    "no slot": ({"max_constituents": 0}, "max_constituents 0: expected a whole number, 11"),
    "fewer slots than PET needs": ({"max_constituents": 5}, "11 to 10000; slots may stay empty"),
    "range of other jets": ({"jet_pt_range": (5.0, 10.0)}, "GeV as jet_pt_range"),
    "too many slots": ({"max_constituents": 20_000}, "expected a whole number, 11 to 10000"),
    "no val": ({"splits": {"train": 1.0}}, "splits .*: expected shares of train, val"),
    "sum": ({"splits": {"train": 0.8, "val": 0.1}}, "shares that add up to 1"),
    "seed": ({"seed": -1}, "seed -1: expected a whole number, 0"),
    "large seed": ({"seed": 2**70}, "expected a whole number, 0 to 4294967295"),
}


def test_a_second_sample_in_mev_is_refused(jets, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "CHUNK_ROWS", 40)
    _, padded, label, _ = jets
    padded[80:] *= [1000, 1, 1, 1000]
    with pytest.raises(UserError, match="looks like MeV"):
        write_dataset(tmp_path, "mine", padded, label, **ABOUT)
    spec = replace(TOP, jet_pt_range=ABOUT["jet_pt_range"])
    with pytest.raises(UserError, match="looks like MeV"):
        JetsInMemory(padded, spec)
    assert JetsInMemory(padded[:80], spec).num_jets == 80


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_written(mistake, jets, tmp_path):
    _, padded, label, _ = jets
    changes, message = MISTAKES[mistake]
    arguments = {"name": "mine", "constituents": padded, "label": label, **ABOUT}
    for key, change in changes.items():
        arguments[key] = change(arguments[key]) if callable(change) else change
    name, constituents, label = (arguments.pop(key) for key in ("name", "constituents", "label"))
    with pytest.raises(UserError, match=message) as error:
        write_dataset(tmp_path, name, constituents, label, **arguments)
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_is_no_path_is_named(jets):
    records, _, label, _ = jets
    with pytest.raises(UserError, match="data is None; expected a path"):
        write_dataset(None, "mine", records, label, **ABOUT)


def test_an_invalid_declaration_is_named_by_its_path(jets, tmp_path):
    records, _, label, _ = jets
    *_, path = write_dataset(tmp_path, "mine", records, label, **ABOUT)
    declared = json.loads(path.read_text())
    del declared["digest"]
    for spoilt in (
        {**declared, "signal": 2},
        {**declared, "classes": ["a", "b"]},
        {**declared, "num_features": "7"},
        {"title": "mine"},
        {},
        *({**declared, "max_constituents": slots} for slots in (-5, 0, 20.5, 10**9, True)),
        {**declared, "jet_radius": None},
        {**declared, "splits": {"train": "most"}},
        {**declared, "jet_pt_range": [500.0, 20.0]},
        {**declared, "classes": []},
    ):
        path.write_text(json.dumps(spoilt))
        with pytest.raises(UserError, match=r"dataset\.json does not declare a dataset"):
            dataset("mine", tmp_path)
    with pytest.raises(UserError, match="unknown dataset 'other'; the suite has jetclass"):
        dataset("other", tmp_path)


def test_more_jets_than_a_chunk_are_all_written(jets, tmp_path, monkeypatch):
    records, _, label, total = jets
    monkeypatch.setattr(own, "CHUNK_ROWS", 32)
    write_dataset(tmp_path, "mine", records, label, **ABOUT)
    jet_pt = in_public_order(tmp_path / "mine")["jet"][:, 0]
    np.testing.assert_allclose(jet_pt, total[:, 0], rtol=1e-6)


def test_the_example_that_writes_parts_gives_one_dataset(jets, tmp_path, monkeypatch):
    _, padded, label, total = jets
    monkeypatch.chdir(tmp_path)
    halves = [(padded[rows], label[rows]) for rows in np.split(np.arange(JETS), 2)]
    run_example("docs/own_dataset.md", "in enumerate(parts)", parts=halves, about=ABOUT)
    spec = dataset("my_parts", tmp_path / "data")
    jet_pt = []
    for split in SPLITS:
        with JetFiles(find_files(tmp_path / "data", spec, split), spec) as files:
            jet_pt += files.gather(np.arange(files.num_jets))["jet"][:, 0].tolist()
    np.testing.assert_allclose(np.sort(jet_pt), np.sort(total[:, 0]), rtol=1e-6)


@pytest.mark.parametrize("names", [("QCD", "top"), (0, 1), ("0", "1")])
def test_columns_of_labels_are_those_of_the_classes_and_not_their_order(names):
    labels = np.array([0, 1, 1, 0])
    table = pd.DataFrame({name: labels == number for number, name in enumerate(names)})
    for columns in (names, names[::-1]):
        found = class_numbers(table[[*columns]], ("QCD", "top"), 4)
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("names", [("is_QCD", "is_top"), ("QCD", "QCD"), ("QCD", "top", "W")])
def test_columns_of_labels_of_other_names_are_refused(names):
    table = pd.DataFrame(np.eye(len(names), dtype=int), columns=names)
    words = f"label: the columns {', '.join(names)}; expected one column, or those of the classes"
    with pytest.raises(UserError, match=words):
        class_numbers(table, ("QCD", "top"), len(names))
