"""Jets of your own in all supported forms give the same files."""

import tracemalloc

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pytest
import vector
from public_order import in_public_order

from omnilearn.data.catalogue import dataset
from omnilearn.data.layout import find_files
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from omnilearn.kinematics import to_cartesian
from preprocessing import own_constituents
from preprocessing.own import write_dataset
from preprocessing.own_constituents import constituents_of

ABOUT = {"classes": ("QCD", "top"), "jet_radius": 0.8, "jet_pt_range": (550.0, 650.0)}
JETS = 120
KEYS = ("pt", "eta", "phi", "energy")


@pytest.fixture(scope="module")
def padded():
    """Jets (120, 40, 4) pt, eta, phi, energy of massless constituents, hardest first."""
    rng = np.random.default_rng(4)
    counts = rng.integers(2, 40, JETS)
    real = np.arange(40) < counts[:, None]
    pt = np.where(real, rng.exponential(1.0, real.shape) + 0.01, 0.0)
    pt = -np.sort(-600 * pt / pt.sum(axis=1, keepdims=True), axis=1)
    eta, phi = rng.normal(0, 0.1, (2, *real.shape)) * real
    return np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1)


@pytest.fixture(scope="module")
def label():
    return np.random.default_rng(1).integers(0, 2, JETS)


def records(padded):
    real = padded[..., 0] > 0
    columns = {key: padded[..., place][real] for place, key in enumerate(KEYS)}
    return ak.unflatten(ak.zip(columns), real.sum(axis=1))


def cartesian(padded):
    columns = np.moveaxis(to_cartesian(padded), -1, 0)
    return dict(zip(("px", "py", "pz", "E"), columns, strict=True))


def jagged(padded, columns, **more):
    real = padded[..., 0] > 0
    return {key: ak.unflatten(v[real], real.sum(axis=1)) for key, v in (columns | more).items()}


def padded_with_none(padded):
    return ak.pad_none(records(padded), 50, axis=1)


def masked(padded):
    """A masked array with non-zero values behind the mask."""
    hidden = np.where(padded[..., :1] > 0, padded, [50.0, 0.0, 0.0, 50.0])
    return np.ma.array(hidden, mask=np.repeat(padded[..., :1] == 0, 4, axis=-1))


def lists(padded):
    return [jet[jet[:, 0] > 0] for jet in padded]


def momentum4d(padded, **more):
    return vector.zip(jagged(padded, cartesian(padded), **more))


def frames(padded):
    """One table of pandas per jet, with columns in another order."""
    columns = [pd.DataFrame(jet, columns=KEYS) for jet in lists(padded)]
    return [frame[["energy", "phi", "pt", "eta"]] for frame in columns]


FORMS = {
    "records": records,
    "records of lists": lambda p: ak.zip({k: records(p)[k] for k in KEYS}, depth_limit=1),
    "px, py, pz, E": lambda p: ak.zip(jagged(p, cartesian(p))),
    "mass": lambda p: ak.zip({**{k: records(p)[k] for k in KEYS[:3]}, "mass": 0 * records(p).pt}),
    "vectors": momentum4d,
    "vectors of a name alone": lambda p: ak.with_name(
        ak.zip(jagged(p, cartesian(p))), "Momentum4D"
    ),
    "vectors in slots": lambda p: vector.array(cartesian(p)),
    "vectors and None": lambda p: ak.pad_none(momentum4d(p), 50, axis=1),
    "pad_none": padded_with_none,
    "pad_none of each field": lambda p: ak.zip(
        {k: ak.pad_none(records(p)[k], 50, axis=1) for k in KEYS}
    ),
    "mask": lambda p: ak.mask(records(p), np.ones(JETS, bool)),
    "masked array": masked,
    "masked jets": lambda p: list(masked(p)),
    "arrays": lists,
    "object array": lambda p: np.array([*lists(p), None], object)[:-1],
    "lists of tuples": lambda p: [list(map(tuple, jet)) for jet in lists(p)],
    "lists of dictionaries": lambda p: ak.to_list(records(p)),
    "dictionary of lists": lambda p: {k: ak.to_list(records(p)[k]) for k in KEYS},
    "awkward numbers": lambda p: ak.Array(lists(p)),
    "big-endian columns": lambda p: {k: p[..., i].astype(">f8") for i, k in enumerate(KEYS)},
    "an iterator": lambda p: iter(lists(p)),
    "masked big-endian columns": lambda p: {
        k: masked(p)[..., place].astype(">f8") for place, k in enumerate(KEYS)
    },
    "anything but pt in empty slots": lambda p: np.where(p[..., :1] > 0, p, [0, -999, 99, -999]),
    "a table per jet": frames,
    "named tuples": lambda p: [list(frame.itertuples(index=False)) for frame in frames(p)],
    "a table of lists": lambda p: pd.DataFrame({k: [*records(p)[k]] for k in KEYS}),
    "a structured array per jet": lambda p: [
        np.rec.fromarrays(jet.T[::-1], names=",".join(KEYS[::-1])) for jet in lists(p)
    ],
    "vectors per jet": lambda p: [vector.array(cartesian(jet)) for jet in lists(p)],
    "lists of vectors": lambda p: [
        [vector.obj(**dict(zip(KEYS, map(float, each), strict=True))) for each in jet]
        for jet in lists(p)
    ],
    "structured": lambda p: np.rec.fromarrays(np.moveaxis(p, -1, 0), names=",".join(KEYS)),
}


@pytest.mark.parametrize("part", [own_constituents.PART_JETS, 50])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_momenta(form, part, padded, monkeypatch):
    monkeypatch.setattr(own_constituents, "PART_JETS", part)
    flat = constituents_of(FORMS[form](padded))
    real = flat.momenta[:, 0] > 0
    owner = np.repeat(np.arange(JETS), flat.counts)[real]
    np.testing.assert_allclose(flat.momenta[real], padded[padded[..., 0] > 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(np.bincount(owner), (padded[..., 0] > 0).sum(axis=1))


def test_memory_holds_the_constituents_once_and_no_empty_slots(monkeypatch):
    monkeypatch.setattr(own_constituents, "PART_JETS", 200)
    jets = np.zeros((4000, 50, 4), np.float32)
    jets[:, :10] = [60.0, 0.1, 0.2, 60.3]
    tracemalloc.start()
    try:
        flat = constituents_of(jets)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert flat.momenta.nbytes == 4000 * 10 * 4 * 8
    assert peak < 4 * flat.momenta.nbytes  # a copy in float64 of all slots is 5


def test_a_mistake_in_a_later_part_has_the_number_of_its_jet(padded, monkeypatch):
    monkeypatch.setattr(own_constituents, "PART_JETS", 50)
    present = np.arange(JETS) % 60 != 55
    with pytest.raises(UserError, match=r"jet 55 \(counted from 0\) is missing .* and 1 more"):
        constituents_of(ak.mask(records(padded), present))
    wider = [*lists(padded)[:60], *(np.pad(jet, ((0, 0), (0, 1))) for jet in lists(padded)[60:])]
    with pytest.raises(UserError, match="some jets have 4 columns, others 5"):
        constituents_of(wider)


def test_a_mass_raises_the_energy(padded):
    columns = {**{k: records(padded)[k] for k in KEYS[:3]}, "M": 0 * records(padded).pt + 0.14}
    momenta = constituents_of(ak.zip(columns)).momenta
    expected = np.hypot(momenta[:, 0] * np.cosh(momenta[:, 1]), 0.14)
    np.testing.assert_allclose(momenta[:, 3], expected)


@pytest.mark.parametrize("key", ["pdg_id", "pdgId", "PdgID"])
def test_particle_ids_have_their_usual_names(key, padded):
    ids = np.where(padded[..., 0] > 5, -211, 22)
    for jets in (
        ak.with_field(records(padded), jagged(padded, {key: ids})[key], key),
        momentum4d(padded, **{key: ids}),
    ):
        flat = constituents_of(jets)
        np.testing.assert_array_equal(flat.pdg_id, ids[padded[..., 0] > 0])


@pytest.mark.parametrize("filler", [-999, np.nan])
def test_the_particle_id_of_an_empty_slot_does_not_matter(filler, padded, label, tmp_path):
    ids = np.where(padded[..., :1] > 0, 211, filler)
    write_dataset(tmp_path, "mine", np.concatenate([padded, ids], axis=-1), label, **ABOUT)
    stored = in_public_order(tmp_path / "mine")
    assert (stored["data"][..., 8].sum(axis=1) == stored["jet"][:, 3]).all()


REFUSED = {
    "unknown field": (
        lambda p: ak.with_field(records(p), records(p).pt, "d0"),
        "'d0' is not known",
    ),
    "unknown field of vectors": (
        lambda p: momentum4d(p, charge=p[..., 0]),
        "'charge' is not known",
    ),
    "mass and energy": (
        lambda p: ak.with_field(records(p), records(p).pt, "mass"),
        "mass with 2 axes are not one four-momentum",
    ),
    "twice": (lambda p: ak.with_field(records(p), records(p).pt, "E"), "energy is there twice"),
    "three-vectors": (lambda p: records(p)[["pt", "eta", "phi"]], "are not one four-momentum"),
    "words": (
        lambda p: ak.Array([[{"pt": "a", "eta": 0.0, "phi": 0.0, "energy": 1.0}]]),
        "constituents: ",
    ),
    "a word": (lambda p: "jets", "constituents: shape"),
    "nothing": (lambda p: None, "constituents: shape"),
    "masked jet": (lambda p: ak.mask(records(p), np.arange(JETS) != 7), "jet 7 .* is missing"),
    "masked lists": (
        lambda p: ak.zip(
            {k: ak.mask(records(p)[k], np.arange(JETS) != 7) for k in KEYS}, depth_limit=1
        ),
        "jet 7 .* is missing",
    ),
    "None for a jet": (lambda p: [*lists(p)[:5], None], "jet 5 .* is missing"),
    "padded jets": (lambda p: ak.pad_none(records(p), JETS + 3, axis=0), "jet 120 .* is missing"),
    "half a momentum": (
        lambda p: ak.with_field(records(p), ak.mask(records(p).eta, records(p).pt < 5), "eta"),
        "a constituent with pt but without eta",
    ),
    "no particle id": (
        lambda p: ak.with_field(
            records(p),
            ak.mask(ak.values_astype(0 * records(p).pt + 211, int), records(p).pt < 5),
            "pdg_id",
        ),
        "a constituent without pdg_id",
    ),
    "a table with the charge": (
        lambda p: [frame.assign(charge=1) for frame in frames(p)],
        "'charge' is not known",
    ),
    "three columns": (lambda p: [jet[:, :3] for jet in lists(p)], "jet 0 .* has shape"),
    "jets of both widths": (lambda p: [p[0], np.ones((3, 5))], "some jets have 4 columns"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_wrong_form_is_refused_in_one_sentence(mistake, padded):
    make, message = REFUSED[mistake]
    with pytest.raises(UserError, match=message) as error:
        constituents_of(make(padded))
    assert "\n" not in str(error.value)


LABELS = {
    "texts": lambda y: np.array(["QCD", "top"])[y],
    "bytes": lambda y: np.array([b"QCD", b"top"])[y],
    "list of texts": lambda y: np.array(["QCD", "top"])[y].tolist(),
    "awkward texts": lambda y: ak.Array(np.array(["QCD", "top"])[y].tolist()),
    "one-hot": lambda y: np.eye(2)[y],
    "one-hot flags": lambda y: np.eye(2, dtype=bool)[y],
    "rows in pandas": lambda y: pd.Series(list(np.eye(2)[y])),
    "column": lambda y: y[:, None],
    "flags": lambda y: y == 1,
    "floats": lambda y: y.astype("f4"),
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_every_form_are_the_same(form, padded, label, tmp_path):
    write_dataset(tmp_path, "mine", padded, LABELS[form](label), **ABOUT)
    np.testing.assert_array_equal(in_public_order(tmp_path / "mine")["pid"], label)


def test_an_unknown_name_of_a_class_is_refused(padded, label, tmp_path):
    names = np.array(["QCD", "top"])[label].tolist()
    names[3] = "Higgs"
    with pytest.raises(UserError, match=r"label: Higgs in jet 3 .* expected one of QCD, top"):
        write_dataset(tmp_path, "mine", padded, names, **ABOUT)
    with pytest.raises(UserError, match=r"label: not understood .* expected one for each jet"):
        write_dataset(tmp_path, "mine", padded, pd.Series([[0, 1], [1]] * (JETS // 2)), **ABOUT)


@pytest.mark.parametrize("unit", [1.0, 1e-45, 1e-12, 1e39, 1e300])
def test_weights_survive_in_any_unit(unit, padded, label, tmp_path):
    weight = unit * np.where(np.arange(JETS) % 5, 1.0, -0.5)
    write_dataset(tmp_path, "mine", padded, label, weight=weight, **ABOUT)
    with h5py.File(tmp_path / "mine/train/mine_train_000.h5") as file:
        scale = file.attrs["weight_scale"]
    stored = in_public_order(tmp_path / "mine")["weight"].astype("f8")
    np.testing.assert_allclose(scale * stored, weight, rtol=1e-6)
    spec = dataset("mine", tmp_path)
    with JetFiles(find_files(tmp_path, spec, "train"), spec) as files:
        assert 0 < files.mean_weight() < 1


def test_jets_of_one_event_stay_in_one_split(padded, label, tmp_path):
    events = np.repeat(np.arange(JETS // 2), 2)
    for name, group in (("numbers", 10**12 + events), ("texts", [f"run 1:{n}" for n in events])):
        paths = write_dataset(tmp_path, name, padded, label, group=group, **ABOUT)
        splits = []
        for path in paths[:3]:
            with h5py.File(path) as file:
                splits.append({int(events[row]) for row in file["source"][:, 1]})
        assert sum(map(len, splits)) == JETS // 2
        assert set.union(*splits) == set(range(JETS // 2))


def test_one_class_alone_is_a_data_set_for_a_generator(padded, tmp_path):
    about = {**ABOUT, "classes": ("QCD",)}
    write_dataset(tmp_path, "mine", padded, np.zeros(JETS, int), **about)
    spec = dataset("mine", tmp_path)
    assert (spec.num_classes, spec.signal) == (1, 0)
    write_dataset(tmp_path, "one_hot", padded, np.ones((JETS, 1)), **about)
    assert not in_public_order(tmp_path / "one_hot")["pid"].any()
    with JetFiles(find_files(tmp_path, spec, "train"), spec) as files:
        assert files.read(0, 5)["pid"].tolist() == [[1.0]] * 5


def test_a_declared_class_without_jets_is_named(padded, label, tmp_path, capsys):
    about = {**ABOUT, "classes": ("QCD", "Higgs", "top")}
    write_dataset(tmp_path, "mine", padded, 2 * label, **about)
    printed = capsys.readouterr().out
    assert printed.count("no jets of Higgs, which was declared") == 3


def test_a_split_that_is_not_made_again_is_refused_and_nothing_is_changed(padded, label, tmp_path):
    write_dataset(tmp_path, "mine", padded, label, **ABOUT)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(UserError, match=r"test_000\.h5 is left of an earlier mine.* remove .*test"):
        write_dataset(
            tmp_path, "mine", padded[::-1], label, splits={"train": 0.9, "val": 0.1}, **ABOUT
        )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_too_few_jets_for_a_split_change_nothing(padded, label, tmp_path):
    write_dataset(tmp_path, "mine", padded, label, **ABOUT)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(UserError, match=r"none of 3 jets fell into .*more jets are needed"):
        write_dataset(tmp_path, "mine", padded[:3], label[:3], **ABOUT)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_split_on_a_disk_that_is_not_mounted_is_named(padded, label, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/val").symlink_to("unmounted")
    with pytest.raises(UserError, match=r"mine/val cannot be made \(File exists\)"):
        write_dataset(tmp_path, "mine", padded, label, **ABOUT)


def test_a_tilde_is_the_home_folder(padded, label, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path, *_ = write_dataset("~/jets", "mine", padded, label, **ABOUT)
    assert path == tmp_path / "jets/mine/train/mine_train_000.h5"
