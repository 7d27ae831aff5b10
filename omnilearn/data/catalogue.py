"""Every dataset of the suite: one entry each. A new dataset is an entry, a module, a recipe."""

from omnilearn.data.spec import DatasetSpec, JetLabel, Normalisation
from omnilearn.errors import UserError

# Measured on JetClass (arXiv:2502.14652, Appendix A); the identity flags stay as they are.
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

CATALOGUE = {spec.name: spec for spec in (JETCLASS, TOP)}


def dataset(name: str) -> DatasetSpec:
    """The entry called `name`; raises UserError listing the names that exist."""
    if name not in CATALOGUE:
        raise UserError(f"unknown dataset {name!r}; the suite knows {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
