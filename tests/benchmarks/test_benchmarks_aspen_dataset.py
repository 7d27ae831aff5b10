"""The data section of Aspen Open Jets: histograms of any number of jets, and their composition."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from root_trees import write_tree
from toy_jets import write_toy_dataset

from benchmarks import aspen_composition, aspen_dataset, aspen_features
from benchmarks.aspen_composition import composition, samples
from benchmarks.aspen_features import features
from omnilearn.data.catalogue import ASPEN
from omnilearn.data.layout import find_files
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results

JETS = {"train": 150, "val": 20, "test": 30}
D0, ERROR = ASPEN.constituent_extra.index("d0"), ASPEN.constituent_extra.index("d0_error")
TAU1, PHI = ASPEN.jet_extra.index("tau1"), ASPEN.jet_extra.index("jet_phi")


@pytest.fixture
def data(tmp_path):
    """Toy jets of Aspen Open Jets, half of whose constituents have a track, and of JetClass."""
    write_toy_dataset(tmp_path, "aspen", JETS)
    write_toy_dataset(tmp_path, "jetclass", {"test": 60})
    rng = np.random.default_rng(1)
    for split in JETS:
        for path in find_files(tmp_path, ASPEN, split):
            with h5py.File(path, "r+") as file:
                jets = len(file["jet"])
                constituents_extra = rng.normal(0, 0.01, (jets, file["data"].shape[1], 6))
                constituents_extra[..., ERROR] = 0.005
                constituents_extra[:, ::2, : ERROR + 3] = -1
                jet_extra = rng.uniform(0.1, 1, (jets, len(ASPEN.jet_extra)))
                jet_extra[:3, TAU1] = np.nan
                for key, values, names in (
                    ("constituents_extra", constituents_extra, ASPEN.constituent_extra),
                    ("jet_extra", jet_extra, ASPEN.jet_extra),
                ):
                    file[key] = values
                    file[key].attrs["columns"] = list(names)
                file.attrs["fingerprints"] = ["one file for all splits"]
                file.attrs["rejected"] = ["jets of pt <= 300 GeV: 7"]
    return tmp_path


def of_all(data: Path, key: str) -> np.ndarray:
    """A dataset of the files of all splits (jets, ...)."""
    arrays = []
    for split in JETS:
        for path in find_files(data, ASPEN, split):
            with h5py.File(path) as file:
                arrays.append(file[key][:])
    return np.concatenate(arrays)


def run(data: Path, *flags) -> dict:
    out = data / "out"
    aspen_dataset.main(["--data", str(data), "--out", str(out), *map(str, flags)])
    return read_results(out / "dataset.json")


@pytest.mark.slow
def test_numbers_of_the_figures_are_those_of_the_files(data, capsys):
    results = run(data)
    aspen = results[ASPEN.title]
    jet, multiplicity = of_all(data, "jet"), of_all(data, "multiplicity")
    assert (aspen["jets"], aspen["constituents"]) == (200, multiplicity.sum())
    for name, column in (("jet_pt", 0), ("jet_eta", 1), ("jet_mass", 2)):
        mean = aspen["mean"][name]
        assert mean.value == pytest.approx(jet[:, column].mean(), rel=1e-5)
        assert mean.error == pytest.approx(jet[:, column].std() / np.sqrt(200), rel=1e-4)
        assert sum(aspen["counts"][name]) + aspen["outside_bins"][name] == 200
    filled = np.arange(of_all(data, "data").shape[1]) < multiplicity[:, None]
    constituents_extra = of_all(data, "constituents_extra")
    track = filled & (constituents_extra[..., ERROR] > 0)
    assert aspen["mean"]["d0"].value == pytest.approx(constituents_extra[track][:, D0].mean())
    assert aspen["mean"]["d0"].n == track.sum()
    assert aspen["without_track"] == (filled & ~track).sum()
    tau = of_all(data, "jet_extra")
    has_tau = np.isfinite(tau[:, TAU1])
    ratio = tau[has_tau, TAU1 + 1] / tau[has_tau, TAU1]
    assert aspen["mean"]["tau21"].n == has_tau.sum() == 191  # three files, each of three unknown
    assert aspen["mean"]["tau21"].value == pytest.approx(ratio.mean())
    assert aspen["rejected"] == {"jets of pt <= 300 GeV": 7}  # three files of one source
    constituents_per_jet = sum(kind.value for kind in aspen["kinds_per_jet"].values())
    assert constituents_per_jet == pytest.approx(multiplicity.mean(), rel=0.02)
    assert results["JetClass QCD"]["jets"] < 60
    printed = capsys.readouterr().out
    assert "| tau21 (jets) |" in printed
    for name in ("figure1_features", "figure1_identities", "figure2_eta_phi"):
        assert (data / f"out/{name}.png").is_file()
        assert (data / f"out/{name}.pdf").is_file()
    assert (data / "out/tables.md").read_text() in printed


def test_the_chunks_in_which_jets_are_read_do_not_matter(data, monkeypatch):
    paths = find_files(data, ASPEN, "train")
    at_once = features(paths, ASPEN)
    monkeypatch.setattr(aspen_features, "CHUNK_JETS", 7)
    in_chunks = features(paths, ASPEN)
    np.testing.assert_array_equal(in_chunks.plane, at_once.plane)
    np.testing.assert_allclose(in_chunks.kinds, at_once.kinds)
    for name, distribution in at_once.distributions.items():
        np.testing.assert_array_equal(in_chunks.distributions[name].counts, distribution.counts)
    assert features(paths, ASPEN, max_jets=10).jets == 10


def test_figure_2_has_every_constituent_at_its_direction_in_the_detector(data):
    paths = find_files(data, ASPEN, "test")
    plane = features(paths, ASPEN).plane
    with h5py.File(paths[0]) as file:
        rel, jet, phi = file["data"][:], file["jet"][:], file["jet_extra"][:, PHI]
        filled = np.arange(rel.shape[1]) < file["multiplicity"][:][:, None]
    eta = (rel[..., 0] + jet[:, 1, None])[filled]
    phi_absolute = (rel[..., 1] + phi[:, None])[filled]
    phi_absolute = np.where(phi_absolute > np.pi, phi_absolute - 2 * np.pi, phi_absolute)
    assert plane.sum() == np.sum(np.abs(eta) < aspen_features.PLANE_ETA)
    bins_eta, bins_phi = aspen_features.PLANE
    upper = plane[:, bins_phi // 2 :].sum()
    assert upper == np.sum((phi_absolute >= 0) & (np.abs(eta) < aspen_features.PLANE_ETA))
    right = plane[bins_eta // 2 :].sum()
    assert abs(right - np.sum((eta >= 0) & (eta < aspen_features.PLANE_ETA))) <= 1


@pytest.mark.slow
def test_files_without_extra_columns_give_the_other_panels(tmp_path):
    write_toy_dataset(tmp_path, "aspen", JETS)
    results = run(tmp_path)[ASPEN.title]
    assert "jet_mass" in results["mean"]
    assert not {"tau21", "d0", "jet_phi"} & set(results["mean"])
    assert not (tmp_path / "out/figure2_eta_phi.png").exists()
    with pytest.raises(UserError, match="no test files of aspen"):
        run(tmp_path / "nowhere")


# generator particles of events with jets at eta 0, phi 0 and 3: (pdg id, mother, eta, phi)
HADRONIC_W = [(24, -1, 0, 0), (24, 0, 0, 0), (1, 1, 0.3, 0.2), (-2, 1, -0.3, -0.1)]
OPEN_W = [(24, -1, 0, 0), (1, 0, 0.3, 0.2), (-2, 0, 1.1, 0.0)]
LEPTONIC_W = [(24, -1, 0, 0), (11, 0, 0.1, 0.1), (-12, 0, 0.0, 0.1)]
TOP = [
    (6, -1, 0, 3),
    (24, 0, 0, 3),
    (24, 1, 0, 3),
    (5, 0, 0.2, -3.1),
    (3, 2, -0.2, 3),
    (-4, 2, 0.1, 2.7),
]
OPEN_TOP = [*TOP[:3], (5, 0, 0.2, 1.9), *TOP[4:]]
W_OF_TOP = [(6, -1, 0, 0), (24, 0, 0, 0), (1, 1, 0.3, 0.2), (-2, 1, -0.3, -0.1)]
CANDIDATE = ("pt", "eta", "phi", "mass", "puppiWeight")


def write_sample(folder: Path, name: str, events: list, sum_of_weights: float | None = None):
    """Simulated PFNano: events of two jets, with these generator particles and weights of 2."""
    of_event = {
        "FatJet_pt": np.float32([400, 350]),
        "FatJet_eta": np.float32([0, 0]),
        "FatJet_phi": np.float32([0, 3]),
        "FatJet_jetId": np.int32([6, 6]),
        **{f"PFCands_{key}": np.float32([1]) for key in CANDIDATE},
        "PFCands_pdgId": np.int32([211]),
        "FatJetPFCands_jetIdx": np.int32([0]),
        "FatJetPFCands_pFCandsIdx": np.int32([0]),
    }
    branches = {k: ak.from_regular(np.array([v] * len(events))) for k, v in of_event.items()}
    columns = np.concatenate([np.array(event, float).reshape(-1, 4) for event in events]).T
    types = {"pdgId": "i4", "genPartIdxMother": "i4", "eta": "f4", "phi": "f4"}
    for (key, kind), values in zip(types.items(), columns, strict=True):
        branches[f"GenPart_{key}"] = ak.unflatten(values.astype(kind), list(map(len, events)))
    branches["genWeight"] = np.full(len(events), 2.0, np.float32)
    path = write_tree(folder / name / "nano.root", "Events", branches)
    if sum_of_weights is not None:
        with uproot.update(path) as file:
            file["Runs"] = {"genEventSumw": np.array([sum_of_weights])}
    return path


def test_jets_count_where_all_quarks_of_a_decay_lie_within_the_radius(tmp_path):
    write_sample(
        tmp_path, "WJetsToQQ_HT-400to600_TuneCP5", [HADRONIC_W, OPEN_W, LEPTONIC_W, HADRONIC_W]
    )
    write_sample(tmp_path, "TTToHadronic_TuneCP5", [TOP, OPEN_TOP, W_OF_TOP, [], TOP])
    write_sample(tmp_path, "QCD_Pt_300to470_TuneCP5", [[], HADRONIC_W])
    by_kind = {sample.kind: sample for sample in samples(tmp_path)}
    assert {kind: sample.matched for kind, sample in by_kind.items()} == {
        "QCD": 4,
        "top": 2,
        "W": 2,
    }
    assert {sample.selected for sample in by_kind.values()} == {4, 8, 10}


def test_samples_count_with_cross_section_and_luminosity_over_generated_events(tmp_path):
    write_sample(
        tmp_path,
        "ZJetsToQQ_HT-400to600",
        [[(23, *w[1:]) if w[0] == 24 else w for w in HADRONIC_W], LEPTONIC_W],
    )
    write_sample(
        tmp_path,
        "ZJetsToQQ_HT-600to800",
        [[(23, -1, 0, 0), (1, 0, 0, 0), (-1, 0, 0, 0)]],
        sum_of_weights=200.0,
    )
    kinds = composition(samples(tmp_path), luminosity=10.0)
    first, second = 145.4e4 * 2 / 4, 34.0e4 * 2 / 200
    assert kinds["Z"].value == pytest.approx(first + second)
    assert kinds["Z"].error == pytest.approx(np.hypot(first, second))  # one jet in each
    assert kinds["Z"].n == 2


def test_the_composition_is_a_table_and_qcd_the_rest_of_the_data(data, monkeypatch):
    write_sample(
        data / "mc", "GluGluHToBB_Pt-200ToInf", [[(25, -1, 0, 0), (5, 0, 0, 0), (-5, 0, 0, 0)]]
    )
    monkeypatch.setattr(aspen_dataset, "figure_1", lambda *_: None)  # drawing is slow
    monkeypatch.setattr(aspen_dataset, "figure_2", lambda *_: None)
    results = run(data, "--samples", data / "mc", "--luminosity", 0.1)
    assert results["composition"]["H"].value == pytest.approx(27.0)
    text = (data / "out/tables.md").read_text()
    assert "| GluGluHToBB_Pt-200ToInf | 0.27 | 2 | 1 | 27 ± 27 |" in text
    assert "| QCD, the rest of the data | 173 | - |" in text


def test_samples_that_cannot_be_normalised_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no folders of simulated samples"):
        samples(tmp_path)
    (tmp_path / "DYJets").mkdir()
    with pytest.raises(UserError, match="no cross section is known of this sample"):
        samples(tmp_path)
    (tmp_path / "DYJets").rename(tmp_path / "TTToHadronic")
    with pytest.raises(UserError, match=r"holds no \.root file"):
        samples(tmp_path)
    (tmp_path / "TTToHadronic").rmdir()
    path = write_sample(tmp_path, "TTToHadronic", [TOP])
    with uproot.open(path) as file:
        arrays = file["Events"].arrays()
    kept = [name for name in arrays.fields if name != "GenPart_pdgId" and name[0] != "n"]
    write_tree(path, "Events", {name: arrays[name] for name in kept})
    with pytest.raises(UserError, match="lacks the branch GenPart_pdgId"):
        samples(tmp_path)


def test_every_cross_section_belongs_to_one_kind():
    for name in aspen_composition.CROSS_SECTIONS:
        kinds = [
            kind for kind, (start, _) in aspen_composition.KINDS.items() if name.startswith(start)
        ]
        assert len(kinds) == 1
