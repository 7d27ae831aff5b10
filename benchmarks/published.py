"""Published numbers: each row as printed in the table that is cited.

The uncertainties are those of the papers, mostly the spread over repeated trainings. A metric is
(value, uncertainty), with the uncertainty None if the paper gives none.
"""

from dataclasses import dataclass

LONG_PAPER = "arXiv:2502.14652"
LETTER = "arXiv:2404.16091v2"  # version 1 is a different text

Number = tuple[float, float | None]


@dataclass(frozen=True)
class PublishedTable:
    """One published table; `rows` holds model -> one number per metric, None if it is blank."""

    dataset: str  # name in the catalogue
    citation: str
    number: str
    jets: int  # size of the public test sample
    metrics: tuple[str, ...]
    rows: dict[str, tuple[Number | None, ...]]

    @property
    def source(self) -> str:
        return f"{self.citation}, {self.number}"


# accuracy, AUC, 1/eB at signal efficiency 0.5 and 0.3
TOP = PublishedTable(
    dataset="top",
    citation=LONG_PAPER,
    number="Table 1",
    jets=404_000,
    metrics=("accuracy", "auc", "rejection_0.5", "rejection_0.3"),
    rows={
        "ResNeXt-50": ((0.936, None), (0.9837, None), (302, 5), (1147, 58)),
        "P-CNN": ((0.93, None), (0.9803, None), (201, 4), (759, 24)),
        "PFN": (None, (0.9819, None), (247, 3), (888, 17)),
        "ParticleNet": ((0.94, None), (0.9858, None), (397, 7), (1615, 93)),
        "JEDI-net": ((0.93, None), (0.9807, None), None, (774.6, None)),
        "PCT": ((0.94, None), (0.9855, None), (392, 11), (1559, 98)),
        "LGN": ((0.929, None), (0.964, None), None, (435, 95)),
        "rPCN": (None, (0.9845, None), (364, 9), (1642, 93)),
        "LorentzNet": ((0.942, None), (0.9868, None), (498, 18), (2195, 173)),
        "PELICAN": ((0.9425, None), (0.9869, None), None, (2289, 204)),
        "ParT": ((0.94, None), (0.9858, None), (413, 16), (1602, 81)),
        "ParT-f.t.": ((0.944, None), (0.9877, None), (691, 15), (2766, 130)),
        "Mixer": (None, (0.9859, None), (416, None), None),
        "PET Classifier": ((0.938, None), (0.9848, None), (340, 12), (1318, 39)),
        "OmniLearn": ((0.942, None), (0.9872, None), (568, 9), (2647, 192)),
    },
)

# the rows with experimentally realistic identities
QG = PublishedTable(
    dataset="qg",
    citation=LONG_PAPER,
    number="Table 2",
    jets=200_000,
    metrics=("accuracy", "auc", "rejection_0.5", "rejection_0.3"),
    rows={
        "P-CNN": ((0.827, None), (0.9002, None), (34.7, None), (91.0, None)),
        "PFN": (None, (0.9005, None), (34.7, 0.4), None),
        "ParticleNet": ((0.84, None), (0.9116, None), (39.8, 0.2), (98.6, 1.3)),
        "rPCN": (None, (0.9081, None), (38.6, 0.5), None),
        "ParT": ((0.84, None), (0.9121, None), (41.3, 0.3), (101.2, 1.1)),
        "ParT-f.t.": ((0.843, None), (0.9151, None), (42.4, 0.2), (107.9, 0.5)),
        "PET classifier": ((0.837, None), (0.911, None), (39.92, 0.1), (104.9, 1.5)),
        "OmniLearn": ((0.844, None), (0.9159, None), (43.7, 0.3), (107.7, 1.5)),
    },
)

# uds quarks against gluons, full simulation
CMS = PublishedTable(
    dataset="cms",
    citation=LONG_PAPER,
    number="Table 3",
    jets=2_000_000,
    metrics=("accuracy", "auc", "rejection_0.5", "rejection_0.8"),
    rows={
        "PET classifier": ((0.796, None), (0.875, None), (23.91, 0.07), (4.77, 0.001)),
        "OmniLearn": ((0.797, None), (0.877, None), (24.36, 0.01), (4.836, 0.004)),
    },
)

# Rapgap against Djangoh
H1 = PublishedTable(
    dataset="h1",
    citation=LONG_PAPER,
    number="Table 4",
    jets=4_000_000,
    metrics=("accuracy", "auc", "rejection_0.1", "rejection_0.5"),
    rows={
        "PET classifier": ((0.547, None), (0.5691, None), (17.73, 0.04), (2.467, 0.002)),
        "OmniLearn": ((0.547, None), (0.5695, None), (17.78, 0.06), (2.47, 0.003)),
    },
)

# unweighted metrics; trained on 4 or 40 million jets
ATLAS = PublishedTable(
    dataset="atlas",
    citation=LETTER,
    number="Table I",
    jets=2_500_000,
    metrics=("accuracy", "auc", "rejection_0.5", "rejection_0.8"),
    rows={
        "ResNet 50": ((0.803, None), (0.885, None), (21.4, None), (5.13, None)),
        "EFN": ((0.819, None), (0.901, None), (26.6, None), (6.12, None)),
        "hlDNN": ((0.863, None), (0.938, None), (51.5, None), (10.5, None)),
        "DNN": ((0.868, None), (0.942, None), (67.7, None), (12.0, None)),
        "PFN": ((0.882, None), (0.954, None), (108.0, None), (15.9, None)),
        "ParticleNet": ((0.894, None), (0.961, None), (153.7, None), (20.4, None)),
        "PET classifier (4M)": ((0.89, None), (0.959, None), (146.5, None), (19.4, None)),
        "OmniLearn (4M)": ((0.894, None), (0.961, None), (172.1, None), (20.8, None)),
        "PET classifier (40M)": ((0.898, None), (0.964, None), (201.4, None), (23.6, None)),
        "OmniLearn (40M)": ((0.899, None), (0.965, None), (207.3, None), (24.1, None)),
    },
)

PUBLISHED = {table.dataset: table for table in (TOP, QG, CMS, ATLAS, H1)}

# triangular discriminators x 1000: reweighted, after the first step; unfolded, after all steps
OBSERVABLES = ("jet_mass", "multiplicity", "jet_width", "ln_rho", "tau21", "z_g")
REWEIGHTING = PublishedTable(
    dataset="omnifold",
    citation=LONG_PAPER,
    number="Table 7",
    jets=1_600_000,
    metrics=OBSERVABLES,
    rows={
        "PET classifier": (
            (0.13, 0.03),
            (0.13, 0.03),
            (0.09, 0.02),
            (0.08, 0.02),
            (0.08, 0.03),
            (0.04, 0.01),
        ),
        "OmniLearn": (
            (0.027, 0.008),
            (0.05, 0.02),
            (0.02, 0.01),
            (0.03, 0.01),
            (0.02, 0.01),
            (0.001, 0.004),
        ),
    },
)
UNFOLDING = PublishedTable(
    dataset="omnifold",
    citation=LETTER,
    number="Table II",
    jets=1_600_000,
    metrics=OBSERVABLES,
    rows={
        "IBU": ((9.31, None), (1.51, None), (0.11, None), (0.71, None), (1.1, None), (0.37, None)),
        "OmniFold DeepSets": (
            (2.77, None),
            (0.33, None),
            (0.1, None),
            (0.35, None),
            (0.53, None),
            (0.68, None),
        ),
        "OmniFold PET classifier": (
            (2.8, 0.9),
            (0.5, 0.15),
            (0.09, 0.02),
            (0.23, 0.07),
            (0.13, 0.03),
            (0.19, 0.03),
        ),
        "OmniFold OmniLearn": (None,) * len(OBSERVABLES),
    },
)
UNFOLDING_NOTE = """\
The text of the published table at hand has lost a column: PET's numbers are those that stand third
in each line, OmniLearn's cannot be read (one number more, 0.21 ± 0.04, stands behind the last)."""
