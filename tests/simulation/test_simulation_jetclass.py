"""The ten classes: branches of the files, and physics of the jets."""

from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from small_samples import CLEAN, JETS, jetclass_files

from simulation import jetclass
from simulation.runner import produce

# the branches of the public files, in their order, with their types
MOMENTA = ("px", "py", "pz", "energy", "deta", "dphi")
TRACKS = ("d0val", "d0err", "dzval", "dzerr", "charge")
FLAGS = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
JET = ("pt", "eta", "phi", "energy", "nparticles", "sdmass", "tau1", "tau2", "tau3", "tau4")
TRUTH = ("genpart_eta", "genpart_phi", "genpart_pid", "genpart_pt", "truth_match")
PUBLIC_BRANCHES = {
    **dict.fromkeys((f"part_{name}" for name in (*MOMENTA, *TRACKS)), "var * float32"),
    **dict.fromkeys((f"part_is{name}" for name in FLAGS), "var * int32"),
    "label_QCD": "float32",
    **dict.fromkeys(("label_Hbb", "label_Hcc", "label_Hgg", "label_H4q", "label_Hqql"), "bool"),
    **dict.fromkeys(("label_Zqq", "label_Wqq", "label_Tbqq", "label_Tbl"), "int32"),
    **dict.fromkeys((f"jet_{name}" for name in JET), "float32"),
    **dict.fromkeys((f"aux_{name}" for name in TRUTH), "float32"),
}


def summed(jets: ak.Array) -> dict[str, np.ndarray]:
    return {
        axis: ak.to_numpy(ak.sum(jets[f"part_{axis}"], axis=1)).astype(float)
        for axis in ("px", "py", "pz", "energy")
    }


def mass(jets: ak.Array) -> np.ndarray:
    p = summed(jets)
    return np.sqrt(np.maximum(p["energy"] ** 2 - p["px"] ** 2 - p["py"] ** 2 - p["pz"] ** 2, 0))


def test_every_class_of_every_split_has_its_public_name(jetclass_folder, tmp_path):
    planned = {file.path.relative_to(tmp_path) for file in jetclass_files(tmp_path, 1, 1, 1, 9)}
    assert planned == {
        Path(folder, f"{name}_{number}.root")
        for folder, number in (("train_100M", "000"), ("val_5M", "120"), ("test_20M", "100"))
        for name in jetclass.PUBLIC_NAMES.values()
    }
    written = {
        path.relative_to(jetclass_folder) for path in jetclass_folder.rglob("*") if path.is_file()
    }
    assert len(written) == 12
    assert written < planned


def test_branches_have_the_public_names_types_and_order(jetclass_jets):
    for jets in jetclass_jets.values():
        assert jets.fields == ["npart", *PUBLIC_BRANCHES]  # npart is uproot's counter
        types = {name: str(jets[name].type.content) for name in PUBLIC_BRANCHES}
        assert types == PUBLIC_BRANCHES


def test_labels_are_one_hot_and_those_of_the_file(jetclass_jets):
    for name, jets in jetclass_jets.items():
        assert len(jets) == JETS
        for other in jetclass_jets:
            assert ak.all(jets[f"label_{other}"] == (other == name))


def test_constituents_add_up_to_the_jet(jetclass_jets):
    for jets in jetclass_jets.values():
        p = summed(jets)
        np.testing.assert_allclose(np.hypot(p["px"], p["py"]), jets.jet_pt, rtol=1e-5)
        np.testing.assert_allclose(p["energy"], jets.jet_energy, rtol=1e-5)
        np.testing.assert_allclose(np.arctan2(p["py"], p["px"]), jets.jet_phi, atol=1e-4)
        np.testing.assert_array_equal(ak.num(jets.part_px), jets.jet_nparticles)


def test_relative_coordinates_point_from_the_axis_to_the_constituent(jetclass_jets):
    for jets in jetclass_jets.values():
        eta = np.arcsinh(jets.part_pz / np.hypot(jets.part_px, jets.part_py))
        # stored times the sign of the jet's eta
        assert ak.max(abs(jets.part_deta * np.sign(jets.jet_eta) + jets.jet_eta - eta)) < 1e-4
        turned = jets.part_dphi + jets.jet_phi - np.arctan2(jets.part_py, jets.part_px)
        assert ak.max(abs(np.sin(turned / 2))) < 1e-4
        # anti-kT jets of radius 0.8 are round, except for clusterings of two hard cores
        far = np.hypot(jets.part_deta, jets.part_dphi) > 0.9
        assert ak.mean(ak.flatten(far)) < 0.01


def test_constituents_fall_in_pt_and_exceed_the_threshold(jetclass_jets):
    for jets in jetclass_jets.values():
        pt = np.hypot(jets.part_px, jets.part_py)
        assert ak.all(pt[:, 1:] <= pt[:, :-1] * (1 + 1e-6))
        assert ak.min(pt) > 0.4999


def test_every_constituent_has_one_identity_and_its_charge(jetclass_jets):
    for jets in jetclass_jets.values():
        flags = [jets[name] for name in PUBLIC_BRANCHES if name.startswith("part_is")]
        assert ak.all(sum(flags) == 1)
        neutral = (jets.part_isPhoton == 1) | (jets.part_isNeutralHadron == 1)
        assert ak.all(abs(jets.part_charge) == ak.where(neutral, 0, 1))
        assert ak.all(jets.part_d0err[neutral] == 0)
        assert ak.all(jets.part_d0err[~neutral] > 0.009)


def test_jets_lie_in_the_kinematic_window(jetclass_jets):
    for jets in jetclass_jets.values():
        assert ak.min(jets.jet_pt) >= 500
        assert ak.max(jets.jet_pt) <= 1000
        assert ak.max(abs(jets.jet_eta)) < 2


def test_jets_contain_the_decay_they_are_labelled_by(jetclass_jets):
    resonances = {process.name: process.resonance for process in jetclass.PROCESSES}
    for name, jets in jetclass_jets.items():
        assert ak.all(jets.aux_truth_match == (name != "QCD"))
        assert ak.all(abs(jets.aux_genpart_pid) == resonances[name])
        if name != "QCD":
            distance = np.hypot(
                jets.aux_genpart_eta - jets.jet_eta,
                np.arcsin(np.sin(jets.aux_genpart_phi - jets.jet_phi)),
            )
            assert np.median(ak.to_numpy(distance)) < 0.1
            assert ak.all(jets.aux_genpart_pt > 200)


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"),
    [
        ("Wqq", 80.4, 5),
        ("Zqq", 91.2, 6),
        ("Hcc", 125, 8),
        ("Hgg", 125, 8),
        ("H4q", 125, 8),
        ("Tbqq", 172.5, 12),
    ],
)
def test_mass_of_a_hadronic_decay_is_that_of_its_resonance(
    jetclass_jets, name, expected, tolerance
):
    assert abs(np.median(mass(jetclass_jets[name])) - expected) < tolerance


@pytest.mark.parametrize(("name", "expected"), [("Wqq", 80.4), ("Zqq", 91.2), ("Hcc", 125)])
def test_soft_drop_finds_the_two_prongs(jetclass_jets, name, expected):
    jets = jetclass_jets[name]
    assert abs(np.median(ak.to_numpy(jets.jet_sdmass)) - expected) < 10
    assert np.all(ak.to_numpy(jets.jet_sdmass) <= mass(jets) + 0.1)


def test_a_lost_neutrino_lowers_the_mass(jetclass_jets):
    median = {name: np.median(mass(jets)) for name, jets in jetclass_jets.items()}
    assert median["Hqql"] < median["H4q"] - 10
    assert median["Tbl"] < median["Tbqq"] - 25
    assert median["QCD"] < median["Wqq"]


def test_subjettiness_counts_the_prongs(jetclass_jets):
    def ratio(name: str, n: int) -> float:
        jets = jetclass_jets[name]
        high, low = (ak.to_numpy(jets[f"jet_tau{k}"]) for k in (n, n - 1))
        return np.median(high[low > 0] / low[low > 0])

    assert ratio("Zqq", 2) < ratio("QCD", 2) - 0.1  # two prongs
    assert ratio("Tbqq", 3) < ratio("QCD", 3) - 0.1  # three prongs


def test_leptons_of_either_charge_are_equally_frequent(jetclass_jets):
    for name in ("Hqql", "Tbl"):
        jets = jetclass_jets[name]
        lepton = (jets.part_isElectron == 1) | (jets.part_isMuon == 1)
        hardest = ak.firsts(jets.part_charge[lepton])
        charges = ak.to_numpy(ak.drop_none(hardest))
        assert len(charges) > 0.9 * len(jets)
        assert abs(charges.mean()) < 4 / np.sqrt(len(charges))


def test_beauty_flies_farther_than_light_quarks(jetclass_jets):
    def displaced(name: str) -> float:
        jets = jetclass_jets[name]
        far = (jets.part_d0err > 0) & (abs(jets.part_d0val) > 5 * jets.part_d0err)
        return ak.mean(ak.sum(far, axis=1))

    assert displaced("Hbb") > 3 > displaced("Hcc") > 1 > displaced("QCD")


def test_gluons_make_more_constituents_than_quarks(jetclass_jets):
    multiplicity = {name: ak.mean(jets.jet_nparticles) for name, jets in jetclass_jets.items()}
    assert multiplicity["Hgg"] > multiplicity["Hcc"] + 8
    assert all(20 < mean < 65 for mean in multiplicity.values())


def test_splits_share_no_jet(jetclass_folder):
    files = list(jetclass_folder.rglob("ZToQQ_*.root"))
    trees = [
        uproot.open(path)["tree"].arrays(["jet_pt", "jet_eta"], library="np") for path in files
    ]
    assert sorted(len(jets["jet_pt"]) for jets in trees) == [30, 30, JETS]
    # the pT alone may be the same by chance, in single precision
    directions = [np.column_stack([jets["jet_pt"], jets["jet_eta"]]) for jets in trees]
    assert len(np.unique(np.concatenate(directions), axis=0)) == JETS + 60


@pytest.mark.slow
def test_large_classes_have_several_files_and_the_seed_decides_the_jets(tmp_path):
    def simulate(out: Path, seed: int, workers: int) -> list[ak.Array]:
        files = jetclass_files(out, train=50, val=0, test=0, per_file=20)
        files = [file for file in files if "ZToQQ" in file.path.name]
        assert [file.path.name for file in files] == [f"ZToQQ_00{i}.root" for i in range(3)]
        produce(replace(CLEAN, chunk_size=10), files, seed, workers)
        return [uproot.open(file.path)["tree"].arrays() for file in files]

    one_worker = simulate(tmp_path / "one", seed=3, workers=1)
    two_workers = simulate(tmp_path / "two", seed=3, workers=2)
    other_seed = simulate(tmp_path / "other", seed=4, workers=2)
    assert [len(jets) for jets in one_worker] == [20, 20, 10]
    for jets, same in zip(one_worker, two_workers, strict=True):
        assert ak.array_equal(jets, same)
    pts = np.concatenate([ak.to_numpy(jets.jet_pt) for jets in one_worker + other_seed])
    assert len(np.unique(pts)) == 100
