"""The datasets of the suite. A new one needs an entry here, a reader and a recipe."""

from dataclasses import replace
from pathlib import Path

from omnilearn.data import declared
from omnilearn.data.spec import DatasetSpec, JetLabel, Normalisation
from omnilearn.errors import UserError

# JetClass, as in the released code, for the features of arXiv:2502.14652, Appendix A; identity
# flags are not scaled
JETCLASS_NORMALISATION = Normalisation(
    feature_mean=(0.0, 0.0, -0.0278, 1.8999407, -0.027, 2.244736, 0.0) + (0.0,) * 6,
    feature_std=(0.215, 0.215, 0.070, 1.2212526, 0.069, 1.2334691, 1.0) + (1.0,) * 6,
    jet_mean=(618.22492, 0.0, 120.64709, 39.4133173),
    jet_std=(106.71761, 0.88998157, 40.196922, 15.096386),
)

JETCLASS = DatasetSpec(
    name="jetclass",
    title="JetClass",
    task="pretraining",
    source="https://doi.org/10.5281/zenodo.6619768",
    citation="H. Qu, C. Li, S. Qian, Particle Transformer for Jet Tagging, arXiv:2202.03772",
    labels=(
        JetLabel("QCD", r"$q/g$", "#4d4d4d"),
        JetLabel("Hbb", r"$H\to b\bar{b}$", "#3f90da"),
        JetLabel("Hcc", r"$H\to c\bar{c}$", "#ffa90e"),
        JetLabel("Hgg", r"$H\to gg$", "#bd1f01"),
        JetLabel("H4q", r"$H\to 4q$", "#94a4a2"),
        JetLabel("Hqql", r"$H\to \ell\nu qq'$", "#832db6"),
        JetLabel("Zqq", r"$Z\to q\bar{q}$", "#a96b59"),
        JetLabel("Wqq", r"$W\to qq'$", "#e76300"),
        JetLabel("Tbqq", r"$t\to bqq'$", "#b9ac70"),
        JetLabel("Tbl", r"$t\to b\ell\nu$", "#92dadd"),
    ),
    num_features=13,
    max_constituents=150,
    jet_radius=0.8,
    jet_pt_range=(500.0, 1000.0),
    normalisation=JETCLASS_NORMALISATION,
    one_hot=True,
    folders=("jetclass", "JetClass"),
    signal=8,
    # arXiv:2202.03772, Table 1
    working_points=(0.5,),
    class_working_points=(("Hqql", 0.99), ("Tbl", 0.995)),
)

TOP = DatasetSpec(
    name="top",
    title="Top tagging",
    task="tagging",
    source="https://doi.org/10.5281/zenodo.2603256",
    citation="G. Kasieczka, T. Plehn, J. Thompson, M. Russell, Top Quark Tagging Reference Dataset",
    labels=(JetLabel("QCD", "QCD", "#4d4d4d"), JetLabel("top", r"$t\to bqq'$", "#b9ac70")),
    num_features=7,
    max_constituents=150,
    jet_radius=0.8,
    jet_pt_range=(550.0, 650.0),
    normalisation=JETCLASS_NORMALISATION,
    one_hot=False,
    folders=("top", "TOP"),
)

QG = DatasetSpec(
    name="qg",
    title="Quark/Gluon",
    task="tagging",
    source="https://doi.org/10.5281/zenodo.3164691",
    citation="P. Komiske, E. Metodiev, J. Thaler, Pythia8 Quark and Gluon Jets for Energy Flow",
    labels=(JetLabel("gluon", "gluon", "#3f90da"), JetLabel("quark", "quark", "#bd1f01")),
    num_features=13,
    max_constituents=100,
    jet_radius=0.4,
    jet_pt_range=(500.0, 550.0),
    normalisation=JETCLASS_NORMALISATION,
    one_hot=False,
    folders=("qg", "QG"),
    splits=(("train", 0.8), ("val", 0.1), ("test", 0.1)),
)

CMS = DatasetSpec(
    name="cms",
    title="CMS 2011A quark/gluon",
    task="tagging",
    source="https://doi.org/10.5281/zenodo.3341419",
    citation="P. Komiske, R. Mastandrea, E. Metodiev, P. Naik, J. Thaler, Exploring the Space of "
    "Jets with CMS Open Data, arXiv:1908.08542",
    labels=(JetLabel("gluon", "gluon", "#3f90da"), JetLabel("quark", "$uds$", "#bd1f01")),
    num_features=13,
    max_constituents=100,
    jet_radius=0.5,
    jet_pt_range=(375.0, 2000.0),
    normalisation=JETCLASS_NORMALISATION,
    one_hot=False,
    folders=("cms", "CMSQG", "QGCMS"),
    splits=(("train", 0.7), ("val", 0.2), ("test", 0.1)),
    working_points=(0.5, 0.8),
)

# constituents as in JetClass; jets: mean and width of `jet` in train, from
# python -m simulation atlas --jets 6000 --test-jets 0 --seed 1
ATLAS_NORMALISATION = replace(
    JETCLASS_NORMALISATION, jet_mean=(1021.0, 0.0, 186.0, 55.4), jet_std=(603.0, 0.90, 127.0, 23.1)
)

ATLAS = DatasetSpec(
    name="atlas",
    title="ATLAS top tagging",
    task="tagging",
    source="https://opendata.cern.ch/record/15013 and https://opendata.cern.ch/record/80030",
    citation="ATLAS Collaboration, Constituent-Based Top-Quark Tagging with the ATLAS Detector, "
    "ATL-PHYS-PUB-2022-039",
    labels=(JetLabel("QCD", "QCD", "#4d4d4d"), JetLabel("top", r"$t\to bqq'$", "#b9ac70")),
    num_features=7,
    max_constituents=120,
    jet_radius=1.0,
    jet_pt_range=(350.0, 3150.0),
    normalisation=ATLAS_NORMALISATION,
    one_hot=False,
    folders=("atlas", "ATLASTOP"),
    splits=(("train", 0.8), ("val", 0.2)),
    working_points=(0.5, 0.8),
)

# Mean and width of constituents and of `jet` in train, both rounded, from
# python -m simulation h1 --jets 40000 --seed 1
H1_NORMALISATION = Normalisation(
    feature_mean=(0.0, 0.0, -0.12, 0.05, -0.116, 0.5, 0.0) + (0.0,) * 6,
    feature_std=(0.36, 0.336, 0.246, 0.966, 0.237, 1.04, 1.0) + (1.0,) * 6,
    jet_mean=(17.2, 0.575, 5.93, 10.15),
    jet_std=(8.29, 0.787, 3.15, 4.21),
)

H1 = DatasetSpec(
    name="h1",
    title="H1 deep inelastic scattering",
    task="tagging",
    source="https://portal.nersc.gov/cfs/dasrepo/omnilearned/h1 (the ROOT files of the H1 "
    "Collaboration are not public)",
    citation="H1 Collaboration, Measurement of lepton-jet correlation in deep-inelastic "
    "scattering, arXiv:2108.12376",
    labels=(JetLabel("Djangoh", "Djangoh", "#3f90da"), JetLabel("Rapgap", "Rapgap", "#bd1f01")),
    num_features=8,
    max_constituents=30,
    jet_radius=1.0,
    jet_pt_range=(10.0, 60.0),
    normalisation=H1_NORMALISATION,
    one_hot=False,
    folders=("h1", "H1"),
    splits=(("train", 0.36), ("val", 0.07), ("test", 0.57)),
    working_points=(0.1, 0.5),
)

JETNET_LABELS = (
    JetLabel("g", "gluon", "#3f90da"),
    JetLabel("q", "light quark", "#bd1f01"),
    JetLabel("t", "top", "#b9ac70"),
    JetLabel("w", "$W$", "#e76300"),
    JetLabel("z", "$Z$", "#a96b59"),
)

# Constituents: measured on JetNet, as in the released code (there the width of log(1 - pt_rel) of
# JetNet150 is -0.054). Jets: mean and width of `jet` in train, from
# python -m simulation jetnet30 --jets 10000 --seed 1, and the same for jetnet150.
JETNET30_NORMALISATION = Normalisation(
    feature_mean=(0.0, 0.0, -0.035, 2.791, -0.035, 3.03, 0.0) + (0.0,) * 6,
    feature_std=(0.09, 0.09, 0.067, 1.241, 0.067, 1.26, 1.0) + (1.0,) * 6,
    jet_mean=(990.0, 0.0, 90.9, 29.4),
    jet_std=(81.6, 0.78, 41.3, 2.27),
)
JETNET150_NORMALISATION = Normalisation(
    feature_mean=(0.0, 0.0, -0.0217, 1.895, -0.022, 2.13, 0.0) + (0.0,) * 6,
    feature_std=(0.115, 0.115, 0.054, 1.549, 0.054, 1.57, 1.0) + (1.0,) * 6,
    jet_mean=(990.0, 0.0, 91.2, 52.6),
    jet_std=(82.9, 0.77, 40.9, 20.5),
)

JETNET30 = DatasetSpec(
    name="jetnet30",
    title="JetNet30",
    task="generation",
    source="https://doi.org/10.5281/zenodo.6975118",
    citation="R. Kansal et al., Particle Cloud Generation with Message Passing Generative "
    "Adversarial Networks, arXiv:2106.11535",
    labels=JETNET_LABELS,
    num_features=7,
    max_constituents=30,
    jet_radius=0.4,
    jet_pt_range=(800.0, 1600.0),
    normalisation=JETNET30_NORMALISATION,
    one_hot=True,
    folders=("jetnet30", "JetNet"),
    splits=(("train", 0.63), ("val", 0.07), ("test", 0.3)),
)

JETNET150 = replace(
    JETNET30,
    name="jetnet150",
    title="JetNet150",
    source="https://doi.org/10.5281/zenodo.6975117",
    max_constituents=150,
    normalisation=JETNET150_NORMALISATION,
    folders=("jetnet150", "JetNet"),
)

# Constituents as those of JetClass. Jets: mean and width of reco_jets and gen_jets together in
# train, from python -m simulation omnifold --jets 1500 --seed 1
OMNIFOLD_NORMALISATION = replace(
    JETCLASS_NORMALISATION,
    jet_mean=(231.4, 0.0, 18.67, 20.74),
    jet_std=(92.33, 1.373, 10.66, 9.769),
)

OMNIFOLD = DatasetSpec(
    name="omnifold",
    title="OmniFold Z+jets",
    task="unfolding",
    source="https://doi.org/10.5281/zenodo.3548091",
    citation="A. Andreassen, P. Komiske, E. Metodiev, B. Nachman, J. Thaler, OmniFold, "
    "arXiv:1911.09107",
    labels=(JetLabel("simulation", "simulation", "#3f90da"), JetLabel("data", "data", "#4d4d4d")),
    num_features=13,
    max_constituents=101,
    jet_radius=0.4,
    jet_pt_range=(100.0, 500.0),
    normalisation=OMNIFOLD_NORMALISATION,
    one_hot=False,
    folders=("omnifold", "OmniFold"),
    splits=(("train", 0.8), ("val", 0.1), ("test", 0.1)),
    levels=("reco", "gen"),
    observables=("jet_mass", "jet_width", "multiplicity", "ln_rho", "z_g", "tau21"),
)

# measured on LHC Olympics events, as in the released code
LHCO_NORMALISATION = Normalisation(
    feature_mean=(0.0, 0.0, -0.019, 1.83, -0.019, 2.068, 0.0) + (0.0,) * 6,
    feature_std=(0.26, 0.26, 0.066, 1.452, 0.064, 1.46, 1.0) + (1.0,) * 6,
    jet_mean=(1287.24651, 0.0, 205.052711, 57.2253125),
    jet_std=(244.154607, 0.741115630, 151.103137, 29.4434382),
)

LHCO = DatasetSpec(
    name="lhco",
    title="LHC Olympics R&D",
    task="anomaly",
    source="https://doi.org/10.5281/zenodo.6466204",
    citation="G. Kasieczka et al., The LHC Olympics 2020, arXiv:2101.08320",
    labels=(
        JetLabel("background", "QCD dijets", "#4d4d4d"),
        JetLabel("signal", "$W'\\to XY$", "#bd1f01"),
    ),
    num_features=7,
    max_constituents=279,
    jet_radius=1.0,
    jet_pt_range=(1000.0, 4000.0),
    normalisation=LHCO_NORMALISATION,
    one_hot=False,
    folders=("lhco", "LHCO"),
    splits=(("train", 0.8), ("val", 0.1), ("test", 0.1)),
    jets_per_event=2,
    observables=("dijet_mass",),
    jet_features=("jet_pt", "jet_eta", "jet_phi", "jet_mass", "multiplicity"),
    signal_region=(3300.0, 3700.0),
    sidebands=((2300.0, 3300.0), (3700.0, 5000.0)),
)

ASPEN = DatasetSpec(
    name="aspen",
    title="Aspen Open Jets",
    task="pretraining",
    source="https://doi.org/10.25592/uhhfdm.16505",
    citation="O. Amram et al., Aspen Open Jets: Unlocking LHC Data for Foundation Models in "
    "Particle Physics, arXiv:2412.10504",
    labels=(JetLabel("data", "CMS data", "#4d4d4d"),),
    num_features=13,
    max_constituents=150,
    jet_radius=0.8,
    jet_pt_range=(300.0, 1500.0),
    normalisation=JETCLASS_NORMALISATION,
    one_hot=False,
    folders=("aspen", "AspenOpenJets"),
    splits=(("train", 0.9), ("val", 0.05), ("test", 0.05)),
    # cm; -1 in place of all four where there is no track
    constituent_extra=("d0", "d0_error", "dz", "dz_error", "puppi_weight", "pdg_id"),
    jet_extra=(  # NaN where the public file lacks a value
        *("run", "luminosity_block", "event", "jet_phi", "soft_drop_mass", "stored_constituents"),
        *("tau1", "tau2", "tau3", "tau4", "particlenet_H4q", "particlenet_Hbb", "particlenet_Hcc"),
        *("particlenet_QCD", "particlenet_T", "particlenet_W", "particlenet_Z"),
        "particlenet_mass",
    ),
)

CATALOGUE = {
    spec.name: spec
    for spec in (JETCLASS, TOP, QG, CMS, ATLAS, H1, JETNET30, JETNET150, OMNIFOLD, LHCO, ASPEN)
}


def dataset(name: str, data: Path | str = "") -> DatasetSpec:
    """The entry called `name`, or the dataset of your own that `data`/<name>/dataset.json declares.

    Raises UserError listing the names that exist.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    path = Path(data) / name / declared.FILE_NAME
    is_folder_of_data = bool(data and name) and name != ".." and "/" not in name
    if is_folder_of_data and path.is_file():
        return declared.read_declaration(path)
    raise UserError(
        f"unknown dataset {name!r}; the suite has {', '.join(CATALOGUE)}; one of your own needs "
        f"{path} (see docs/own_dataset.md)"
    )


def describe_in(run: Path, spec: DatasetSpec) -> None:
    """Write the declaration of a dataset outside the catalogue into a run, which can be moved."""
    if spec.name not in CATALOGUE:
        declared.write_declaration(run / declared.FILE_NAME, spec)


def described_in(run: Path, name: str) -> DatasetSpec | None:
    """The dataset of a run: that of the catalogue, or the one that the run declares, if any."""
    return CATALOGUE.get(name) or declared.declared_in(run, name)


def as_trained(spec: DatasetSpec, run: Path, slots: bool = True) -> DatasetSpec:
    """`spec` as a run takes it, with the standardisation that the run was trained with.

    A dataset of one's own that was made again has another one. slots: the model needs the number of
    slots that it was trained with. Raises UserError where classes, features or slots differ.
    """
    trained = declared.declared_in(run, spec.name)
    if trained is None:
        return spec
    of_model = {"class_names": "the classes", "num_features": "features per constituent"}
    if slots:
        of_model["max_constituents"] = "slots per jet"
    for name, words in of_model.items():
        before, now = getattr(trained, name), getattr(spec, name)
        if before != now:
            raise UserError(
                f"{run} was trained on {spec.name} with {words} {before}, which now has {now}; "
                "train again with finetune.py and another --name, or bring back the former data"
            )
    return replace(spec, normalisation=trained.normalisation)
