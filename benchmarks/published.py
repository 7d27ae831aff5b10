"""Published numbers: each row as printed in the table that is cited.

The uncertainties are those of the papers, mostly the spread over repeated trainings.
"""

from dataclasses import dataclass

from benchmarks.markdown import BLANK

LONG_PAPER = "arXiv:2502.14652"
LETTER = "arXiv:2404.16091v2"  # version 1 is a different text

Number = tuple[float, float | None]


@dataclass(frozen=True)
class PublishedTable:
    """One published table; `rows`: model -> the numbers as printed (-: blank), in one text."""

    dataset: str  # name in the catalogue
    citation: str
    number: str
    jets: int  # size of the public test sample
    metrics: tuple[str, ...]
    rows: dict[str, str]

    @property
    def source(self) -> str:
        return f"{self.citation}, {self.number}"

    def numbers(self, model: str) -> tuple[Number | None, ...]:
        """One (value, uncertainty) per metric, None if the paper has none."""
        return tuple(map(parsed, self.rows[model].split()))


def parsed(text: str) -> Number | None:
    """0.36±0.08 -> (0.36, 0.08); without an uncertainty (0.36, None)."""
    if text == BLANK:
        return None
    value, _, error = text.partition("±")
    return float(value), float(error) if error else None


# accuracy, AUC, 1/eB at signal efficiency 0.5 and 0.3
TOP = PublishedTable(
    dataset="top",
    citation=LONG_PAPER,
    number="Table 1",
    jets=404_000,
    metrics=("accuracy", "auc", "rejection_0.5", "rejection_0.3"),
    rows={
        "ResNeXt-50": "0.936 0.9837 302±5 1147±58",
        "P-CNN": "0.93 0.9803 201±4 759±24",
        "PFN": "- 0.9819 247±3 888±17",
        "ParticleNet": "0.94 0.9858 397±7 1615±93",
        "JEDI-net": "0.93 0.9807 - 774.6",
        "PCT": "0.94 0.9855 392±11 1559±98",
        "LGN": "0.929 0.964 - 435±95",
        "rPCN": "- 0.9845 364±9 1642±93",
        "LorentzNet": "0.942 0.9868 498±18 2195±173",
        "PELICAN": "0.9425 0.9869 - 2289±204",
        "ParT": "0.94 0.9858 413±16 1602±81",
        "ParT-f.t.": "0.944 0.9877 691±15 2766±130",
        "Mixer": "- 0.9859 416 -",
        "PET Classifier": "0.938 0.9848 340±12 1318±39",
        "OmniLearn": "0.942 0.9872 568±9 2647±192",
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
        "P-CNN": "0.827 0.9002 34.7 91.0",
        "PFN": "- 0.9005 34.7±0.4 -",
        "ParticleNet": "0.84 0.9116 39.8±0.2 98.6±1.3",
        "rPCN": "- 0.9081 38.6±0.5 -",
        "ParT": "0.84 0.9121 41.3±0.3 101.2±1.1",
        "ParT-f.t.": "0.843 0.9151 42.4±0.2 107.9±0.5",
        "PET classifier": "0.837 0.911 39.92±0.1 104.9±1.5",
        "OmniLearn": "0.844 0.9159 43.7±0.3 107.7±1.5",
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
        "PET classifier": "0.796 0.875 23.91±0.07 4.77±0.001",
        "OmniLearn": "0.797 0.877 24.36±0.01 4.836±0.004",
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
        "PET classifier": "0.547 0.5691 17.73±0.04 2.467±0.002",
        "OmniLearn": "0.547 0.5695 17.78±0.06 2.47±0.003",
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
        "ResNet 50": "0.803 0.885 21.4 5.13",
        "EFN": "0.819 0.901 26.6 6.12",
        "hlDNN": "0.863 0.938 51.5 10.5",
        "DNN": "0.868 0.942 67.7 12.0",
        "PFN": "0.882 0.954 108.0 15.9",
        "ParticleNet": "0.894 0.961 153.7 20.4",
        "PET classifier (4M)": "0.89 0.959 146.5 19.4",
        "OmniLearn (4M)": "0.894 0.961 172.1 20.8",
        "PET classifier (40M)": "0.898 0.964 201.4 23.6",
        "OmniLearn (40M)": "0.899 0.965 207.3 24.1",
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
        "PET classifier": "0.13±0.03 0.13±0.03 0.09±0.02 0.08±0.02 0.08±0.03 0.04±0.01",
        "OmniLearn": "0.027±0.008 0.05±0.02 0.02±0.01 0.03±0.01 0.02±0.01 0.001±0.004",
    },
)
UNFOLDING = PublishedTable(
    dataset="omnifold",
    citation=LETTER,
    number="Table II",
    jets=1_600_000,
    metrics=OBSERVABLES,
    rows={
        "IBU": "9.31 1.51 0.11 0.71 1.1 0.37",
        "OmniFold DeepSets": "2.77 0.33 0.1 0.35 0.53 0.68",
        "OmniFold PET classifier": "2.8±0.9 0.5±0.15 0.09±0.02 0.23±0.07 0.13±0.03 0.19±0.03",
        "OmniFold OmniLearn": "- - - - - -",
    },
)
UNFOLDING_NOTE = """\
The text of the published table at hand has lost a column: PET's numbers are those that stand third
in each line, OmniLearn's cannot be read (one number more, 0.21 ± 0.04, stands behind the last)."""
