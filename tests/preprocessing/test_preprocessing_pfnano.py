"""PFNano of CMS: the jets of the HDF5 layout, with the selection of the paper."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import awkward as ak
import flat_files
import h5py
import numpy as np
import pfnano_files
import pytest
import uproot
from damaged_files import MUTATIONS, survives
from golden import REAL
from public_order import in_public_order

from omnilearn.data.catalogue import ASPEN
from omnilearn.data.reader import JetFiles
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import invariant_mass
from preprocessing import aspen, pfnano
from preprocessing.jet_chunk import prepare

real_data = pytest.mark.skipif(
    not (REAL / "pfnano" / "pfnano.root").is_file(), reason="no excerpts of public data here"
)


@pytest.fixture
def columns(toy_jets):
    """The HDF5 columns of 50 jets, with PUPPI weights of all kinds and tagging variables."""
    columns = flat_files.columns("aspen", toy_jets)
    rng = np.random.default_rng(3)
    real = columns["PFCands"][..., 3] > 0
    weight = rng.choice([0.0, 0.25, 1.0], real.shape, p=[0.2, 0.3, 0.5]).astype(np.float32)
    weight[:, 0] = 1.0
    columns["PFCands"][..., 10] = np.where(real, weight, 0)
    columns["jet_tagging"] = rng.uniform(0, 1, (50, 13)).astype(np.float32)
    columns["jet_kinematics"][:, 3] = np.arange(50)  # identifies the jets
    return columns


@pytest.fixture
def branches(columns):
    return pfnano_files.branches(columns)


def read(path: Path, reader=aspen.read):
    """Records and features of all prepared jets of a file, rejected jets, the last selection."""
    chunks = list(reader(path))
    prepared = [prepare(chunk, ASPEN, path) for chunk in chunks]
    rejected = Counter()
    for chunk in chunks:
        rejected.update(chunk.rejected)
    records = np.concatenate([jets.records for jets in prepared])
    features = np.concatenate([jets.features for jets in prepared])
    return records, features, rejected, chunks[-1].selection


def assert_same(records, expected):
    """Compare records up to rounding; NaN equals NaN."""
    for name in expected.dtype.names:
        np.testing.assert_allclose(records[name], expected[name], rtol=1e-6)


def extra(records, name: str) -> np.ndarray:
    """One of the extra columns of all jets."""
    return records["jet_extra"][:, 0, ASPEN.jet_extra.index(name)]


def test_the_same_jets_come_from_both_layouts(columns, branches, tmp_path):
    flat = flat_files.write(tmp_path / "RunG_batch0.h5", columns)
    nano = pfnano_files.write(tmp_path / "nano.root", branches)
    expected, expected_features, _, _ = read(flat)
    records, features, rejected, _ = read(nano)
    assert aspen.count(nano) == aspen.count(flat) == len(records) == 50
    assert not any(rejected.values())
    np.testing.assert_array_equal(records["multiplicity"], expected["multiplicity"])
    np.testing.assert_allclose(records["jet"], expected["jet"], rtol=1e-4)  # float32 of either
    np.testing.assert_array_equal(extra(records, "soft_drop_mass"), np.arange(50))
    np.testing.assert_array_equal(extra(records, "tau2"), extra(expected, "tau2"))
    np.testing.assert_allclose(features, expected_features, atol=2e-4, rtol=1e-5)
    with uproot.open(nano) as file:
        numbers = file["Events/event"].array(library="np")
    assert set(extra(records, "event")) == set(numbers.astype(np.float64))


def test_the_jets_do_not_depend_on_the_order_of_links_and_the_chunks(branches, tmp_path):
    expected, expected_features, _, _ = read(pfnano_files.write(tmp_path / "a.root", branches))
    rng = np.random.default_rng(5)
    order = [rng.permutation(n) for n in ak.num(branches["FatJetPFCands_jetIdx"])]
    for name in ("jetIdx", "pFCandsIdx"):
        branches[f"FatJetPFCands_{name}"] = branches[f"FatJetPFCands_{name}"][ak.Array(order)]
    path = pfnano_files.write(tmp_path / "b.root", branches)
    records, features, _, _ = read(path, partial(pfnano.read, chunk_rows=3))
    assert_same(records, expected)
    np.testing.assert_array_equal(features, expected_features)


def test_jets_that_fail_a_cut_of_the_paper_are_counted(branches, tmp_path):
    def cut(name, event, value):
        branches[name] = pfnano_files.one_jet(branches[name], event, 0, value)

    cut("FatJet_pt", 0, 300.0)
    cut("FatJet_eta", 1, -2.5)
    cut("FatJet_jetId", 2, 2)  # tight, but it may be a lepton
    branches["Flag_BadPFMuonFilter"][3] = False
    cut("FatJet_pt", 3, 10.0)  # counted once, with its event
    records, _, rejected, selection = read(pfnano_files.write(tmp_path / "nano.root", branches))
    of_event = int(ak.num(branches["FatJet_pt"])[3])
    assert rejected == {
        "jets of events that fail a filter": of_event,
        "jets of pt <= 300 GeV": 1,
        "jets of |eta| >= 2.5": 1,
        "jets that fail the identification": 1,
    }
    assert len(records) == 50 - 3 - of_event
    first = np.cumsum(ak.to_numpy(ak.num(branches["FatJet_pt"])))
    lost = [0, first[0], first[1], *range(first[2], first[3])]
    kept = np.setdiff1d(np.arange(50), lost)
    np.testing.assert_array_equal(records["source"][:, 1], kept)
    np.testing.assert_array_equal(extra(records, "soft_drop_mass"), kept)
    assert any("Flag_BadPFMuonFilter" in sentence for sentence in selection)


def test_rejected_jets_are_printed_and_stored(branches, tmp_path, convert):
    branches["FatJet_pt"] = pfnano_files.one_jet(branches["FatJet_pt"], 0, 0, 200.0)
    branches["Flag_eeBadScFilter"] = None
    pfnano_files.write(tmp_path / "raw/0000/nano_1.root", branches)
    printed = convert("aspen")
    assert "1 jets of pt <= 300 GeV: left out" in printed
    assert "filters that the file lacks: Flag_eeBadScFilter" in printed
    with h5py.File(tmp_path / "aspen/train/aspen_train_000.h5") as file:
        assert "jets of pt <= 300 GeV: 1" in attributes(file)["rejected"]
        assert attributes(file)["selection"][0] == "FatJet_pt > 300 GeV, |FatJet_eta| < 2.5"


@pytest.mark.parametrize(
    "names",
    [
        {"FatJetPFCands_pFCandsIdx": "FatJetPFCands_candIdx"},
        {"FatJetPFCands_": "JetPFCandsAK8_", "pFCandsIdx": "candIdx"},
        {"FatJetPFCands_": "FatJetPFCand_", "pFCandsIdx": "pfCandIdx", "PFCands_": "PFCand_"},
        {"FatJetPFCands_jetIdx": "FatJetPFCands_fatJetIdx"},
    ],
)
def test_branches_of_other_productions_are_read(branches, tmp_path, names):
    expected, expected_features, _, _ = read(pfnano_files.write(tmp_path / "a.root", branches))
    renamed = {}
    for name, values in branches.items():
        new = name
        for old, other in names.items():
            new = new.replace(old, other)
        renamed[new] = values
    assert renamed.keys() != branches.keys()
    records, features, _, _ = read(pfnano_files.write(tmp_path / "b.root", renamed))
    assert_same(records, expected)
    np.testing.assert_array_equal(features, expected_features)


def test_columns_that_a_file_lacks_are_nan_and_filters_it_lacks_are_named(branches, tmp_path):
    branches |= dict.fromkeys(("PFCands_d0Err", "FatJet_tau3", "run", "Flag_goodVertices"))
    records, features, _, selection = read(pfnano_files.write(tmp_path / "a.root", branches))
    assert np.isnan(extra(records, "tau3")).all()
    assert np.isnan(extra(records, "run")).all()
    assert np.isnan(features[:, 14]).all()
    assert np.isfinite(np.delete(features, 14, axis=1)).all()
    assert selection[-1] == "filters that the file lacks: Flag_goodVertices"


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("FatJet_jetId", "lacks the branch FatJet_jetId of the AK8 jets"),
        ("PFCands_puppiWeight", "lacks the branch PFCands_puppiWeight of the candidates"),
        ("FatJetPFCands_jetIdx", "no branches link AK8 jets to their candidates"),
        ("FatJetPFCands_pFCandsIdx", "no branches link AK8 jets to their candidates"),
    ],
)
def test_a_needed_branch_that_is_missing_is_named(branches, tmp_path, refused, lacking, message):
    branches[lacking] = None
    pfnano_files.write(tmp_path / "raw/nano.root", branches)
    assert message in refused("aspen")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PFCands_pt", np.nan, "PFCands_pt is not a finite number in event 4"),
        ("FatJet_eta", np.inf, "FatJet_eta is not a finite number in event 4"),
        ("FatJetPFCands_pFCandsIdx", -1, "FatJetPFCands_pFCandsIdx is -1 in event 4"),
        ("FatJetPFCands_jetIdx", 99, "FatJetPFCands_jetIdx is 99 in event 4"),
    ],
)
def test_wrong_numbers_are_refused_with_branch_and_event(
    branches, tmp_path, refused, name, value, message
):
    branches[name] = pfnano_files.one_jet(branches[name], 4, 0, value)
    pfnano_files.write(tmp_path / "raw/nano.root", branches)
    assert message in refused("aspen")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("puppiWeight", 1.5, "PFCands_puppiWeight is not between 0 and 1 in jet"),
        ("pdgId", 17, "holds the particle 17"),
    ],
)
def test_columns_of_another_meaning_are_refused(branches, tmp_path, refused, name, value, message):
    link = int(branches["FatJetPFCands_pFCandsIdx"][4][0])
    branches["PFCands_puppiWeight"] = ak.ones_like(branches["PFCands_puppiWeight"])
    key = f"PFCands_{name}"
    branches[key] = pfnano_files.one_jet(branches[key], 4, link, value)
    pfnano_files.write(tmp_path / "raw/nano.root", branches)
    assert message in refused("aspen")


def test_the_same_jets_twice_are_refused(columns, branches, tmp_path, refused):
    pfnano_files.write(tmp_path / "two/a.root", branches)
    (tmp_path / "two/b.root").write_bytes((tmp_path / "two/a.root").read_bytes())
    assert "hold the same jets" in refused("aspen", "--raw", tmp_path / "two")
    pfnano_files.write(tmp_path / "both/a.root", branches)
    flat_files.write(tmp_path / "both/RunG_batch0.h5", columns)
    assert "the same jets may be in both layouts" in refused("aspen", "--raw", tmp_path / "both")


def test_small_files_share_an_output_up_to_a_limit(columns, tmp_path, monkeypatch):
    paths = [
        pfnano_files.write(tmp_path / f"{n}.root", pfnano_files.branches(columns, seed=n))
        for n in range(5)
    ]
    assert [shard.sources for shard in aspen.shards(tmp_path)] == [tuple(paths)]
    size = paths[0].stat().st_size
    monkeypatch.setattr(pfnano, "OUTPUT_BYTES", int(2.5 * size))
    groups = [shard.sources for shard in aspen.shards(tmp_path)]
    assert groups == [tuple(paths[:2]), tuple(paths[2:4]), (paths[4],)]


def test_extra_columns_stay_with_their_jets_through_the_shuffle(branches, tmp_path, convert):
    pfnano_files.write(tmp_path / "raw/nano.root", branches)
    convert("aspen")
    paths = sorted((tmp_path / "aspen").rglob("*.h5"))
    with h5py.File(paths[0]) as file:
        columns, jet_columns = (
            tuple(attributes(file[key])["columns"]) for key in ("constituents_extra", "jet_extra")
        )
    assert (columns, jet_columns) == (ASPEN.constituent_extra, ASPEN.jet_extra)
    jets = in_public_order(tmp_path / "aspen")
    data, extra = jets["data"], jets["constituents_extra"]
    mass = jets["jet_extra"][:, jet_columns.index("soft_drop_mass")]
    np.testing.assert_array_equal(mass, np.arange(50))  # each jet carries its own number
    filled = data[..., 3] != 0
    assert (extra[~filled] == 0).all()
    pdg_id = np.abs(extra[filled][:, columns.index("pdg_id")])
    for column, species in enumerate((211, 130, 22, 11, 13), 8):
        np.testing.assert_array_equal(data[filled][:, column], pdg_id == species)
    assert set(extra[filled][:, columns.index("puppi_weight")]) == {0.25, 1.0}
    with JetFiles(paths, ASPEN) as files:  # without the extra columns
        assert files.read(0, 50)["data"].shape == (50, 150, 13)


def test_a_reader_without_extra_columns_leaves_nan(branches, tmp_path):
    path = pfnano_files.write(tmp_path / "nano.root", branches)
    (chunk,) = pfnano.read(path)
    expected = prepare(chunk, ASPEN, path)
    prepared = prepare(replace(chunk, constituent_extra=None, jet_extra=None), ASPEN, path)
    np.testing.assert_array_equal(prepared.features[:, :13], expected.features[:, :13])
    assert np.isnan(prepared.features[:, 13:]).all()
    assert np.isnan(prepared.records["jet_extra"]).all()


def test_a_file_of_a_production_may_hold_no_event(branches, tmp_path, convert):
    pfnano_files.write(tmp_path / "raw/nano_1.root", branches)
    pfnano_files.write(tmp_path / "raw/nano_2.root", {k: v[:0] for k, v in branches.items()})
    convert("aspen")


def test_a_file_without_any_jet_is_refused(branches, tmp_path, refused):
    branches |= {name: values[:, :0] for name, values in branches.items() if name[:6] == "FatJet"}
    pfnano_files.write(tmp_path / "raw/nano.root", branches)
    assert "none of 0 rows is left" in refused("aspen")


def test_a_file_without_its_extra_columns_is_made_again(branches, tmp_path, preprocess):
    pfnano_files.write(tmp_path / "raw/nano.root", branches)
    command = ("aspen", "--raw", tmp_path / "raw", "--out", tmp_path, "--workers", 1)
    preprocess(*command)
    assert "is complete" in preprocess(*command)[1]
    path = tmp_path / "aspen/train/aspen_train_000.h5"
    with h5py.File(path, "r+") as file:
        del file["jet_extra"]
    assert "is complete" not in preprocess(*command)[1]
    with h5py.File(path) as file:
        assert "jet_extra" in file


@real_data
def test_real_jets_of_cms_are_the_same_in_both_layouts():
    """19 of 24: three are below 300 GeV, an event of two fails a filter."""
    flat = REAL / "aspen_layout_from_pfnano" / "RunG_batch0.h5"
    expected, expected_features, _, _ = read(flat)
    records, features, rejected, _ = read(REAL / "pfnano" / "pfnano.root")
    assert list(rejected.values()) == [2, 3, 0, 0]
    rows = records["source"][:, 1]
    of_jet = np.repeat(np.arange(24), expected["kept"][:, 0])
    np.testing.assert_array_equal(records["multiplicity"], expected["multiplicity"][rows])
    np.testing.assert_allclose(records["jet"], expected["jet"][rows], rtol=2e-5)
    np.testing.assert_allclose(
        extra(records, "soft_drop_mass"), extra(expected, "soft_drop_mass")[rows], rtol=1e-6
    )
    np.testing.assert_allclose(
        features, expected_features[np.isin(of_jet, rows)], rtol=1e-3, atol=1e-4
    )

    with np.load(REAL / "aspen_layout_from_pfnano" / "expected.npz") as file:
        known = dict(zip(file["columns"], file["values"][rows].T, strict=True))
    np.testing.assert_allclose(records["jet"][:, 0, 2], known["cms_mass"], rtol=2.5e-3)
    np.testing.assert_array_equal(records["multiplicity"][:, 0], known["n_with_puppi_weight"])
    (chunk,) = aspen.read(REAL / "pfnano" / "pfnano.root")
    raw = chunk.jet[:, 0] * (1 - known["cms_raw_factor"])
    np.testing.assert_allclose(known["puppi_pt"], raw, rtol=2e-3)
    scale = known["puppi_pt"] / chunk.jet[:, 0]
    np.testing.assert_allclose(invariant_mass(chunk.jet) * scale, known["puppi_mass"], rtol=1e-4)


@real_data
def test_a_real_file_without_links_to_candidates_is_refused_in_a_sentence(refused):
    message = refused("aspen", "--raw", REAL / "fastjet_pfnano_skim")
    assert "no branches link AK8 jets to their candidates" in message


@pytest.mark.slow
def test_damaged_files_are_refused_in_a_sentence(branches, tmp_path):
    nano = pfnano_files.write(tmp_path / "nano.root", branches)
    assert survives("aspen", nano, tmp_path / "out") > MUTATIONS // 4
