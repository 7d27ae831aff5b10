"""Published numbers of generated jets: each row as printed, tables 5 and 6 of arXiv:2502.14652.

The rows of other models are quoted by that paper. W1M and W1P are in units of 10^-3, W1EFP of
10^-5. The gluon rows "PET generator (Ideal)" and FPCD of table 5 are equal in the paper.
"""

from dataclasses import dataclass

from benchmarks.published import LONG_PAPER


@dataclass(frozen=True)
class GenerationTable:
    """One published table; `rows`: class -> model -> the numbers as printed, in one text."""

    dataset: str
    citation: str
    number: str
    metrics: tuple[str, ...]
    rows: dict[str, dict[str, str]]

    @property
    def source(self) -> str:
        return f"{self.citation}, {self.number}"


JETNET30 = GenerationTable(
    dataset="jetnet30",
    citation=LONG_PAPER,
    number="Table 5",
    metrics=("w1m", "w1p", "w1efp", "fpnd", "coverage", "mmd"),
    rows={
        "g": {
            "FPCD": "0.36±0.08 0.34±0.09 0.47±0.13 0.07 0.55 0.03",
            "FPCD, 1 step": "0.65±0.11 0.34±0.06 0.6±0.09 0.11 0.55 0.03",
            "MP-GAN": "0.69±0.07 1.8±0.2 0.9±0.6 0.2 0.54 0.037",
            "EPiC-GAN": "0.3±0.1 1.6±0.2 0.4±0.2 1.01±0.07 - -",
            "PET generator": "0.42±0.1 0.36±0.08 0.35±0.08 0.04 0.55 0.03",
            "PET generator (Ideal)": "0.36±0.08 0.34±0.09 0.47±0.13 0.07 0.55 0.03",
            "OmniLearn": "0.38±0.08 0.33±0.07 0.33±0.09 0.02 0.55 0.03",
            "OmniLearn (Ideal)": "0.33±0.06 0.29±0.08 0.3±0.07 0.02 0.55 0.03",
        },
        "q": {
            "FPCD": "0.52±0.07 0.27±0.06 0.38±0.11 0.08 0.49 0.02",
            "FPCD, 1 step": "0.59±0.08 0.36±0.08 0.5±0.08 0.09 0.48 0.02",
            "MP-GAN": "0.6±0.2 4.9±0.5 0.7±0.4 0.35 0.5 0.026",
            "EPiC-GAN": "0.5±0.1 4±0.4 0.8±0.4 0.43±0.03 - -",
            "PET generator": "0.39±0.12 0.35±0.06 0.24±0.1 0.03 0.54 0.02",
            "PET generator (Ideal)": "0.31±0.08 0.38±0.1 0.23±0.07 0.03 0.53 0.02",
            "OmniLearn": "0.24±0.03 0.32±0.07 0.24±0.08 0.02 0.54 0.02",
            "OmniLearn (Ideal)": "0.31±0.08 0.3±0.09 0.26±0.08 0.01 0.54 0.02",
        },
        "t": {
            "FPCD": "0.51±0.07 0.41±0.12 1.25±0.19 0.17 0.58 0.05",
            "FPCD, 1 step": "1.22±0.09 0.46±0.1 2.66±0.26 0.56 0.57 0.05",
            "MP-GAN": "0.6±0.2 2.3±0.3 2±1 0.37 0.57 0.071",
            "EPiC-GAN": "0.5±0.1 2.1±0.1 1.7±0.3 0.31±0.037 - -",
            "PET generator": "0.44±0.03 0.29±0.07 1.09±0.23 0.07 0.58 0.05",
            "PET generator (Ideal)": "0.41±0.07 0.34±0.08 1.22±0.23 0.07 0.58 0.05",
            "OmniLearn": "0.43±0.06 0.3±0.07 1.31±0.18 0.04 0.58 0.05",
            "OmniLearn (Ideal)": "0.36±0.05 0.41±0.08 1.02±0.2 0.03 0.58 0.05",
        },
        "w": {
            "FPCD": "0.26±0.03 0.39±0.08 0.15±0.02 - 0.56 0.02",
            "FPCD, 1 step": "0.94±0.06 0.42±0.09 0.35±0.03 - 0.56 0.02",
            "PET generator": "0.17±0.04 0.26±0.05 0.11±0.02 - 0.56 0.02",
            "PET generator (Ideal)": "0.15±0.02 0.31±0.07 0.12±0.03 - 0.57 0.02",
            "OmniLearn": "0.19±0.03 0.27±0.07 0.1±0.02 - 0.57 0.02",
            "OmniLearn (Ideal)": "0.16±0.06 0.28±0.04 0.1±0.02 - 0.57 0.02",
        },
        "z": {
            "FPCD": "0.21±0.04 0.4±0.13 0.18±0.03 - 0.56 0.02",
            "FPCD, 1 step": "0.99±0.05 0.35±0.06 0.49±0.03 - 0.56 0.02",
            "PET generator": "0.22±0.04 0.32±0.07 0.2±0.04 - 0.57 0.02",
            "PET generator (Ideal)": "0.18±0.1 0.3±0.08 0.14±0.02 - 0.56 0.02",
            "OmniLearn": "0.19±0.07 0.32±0.09 0.12±0.03 - 0.57 0.02",
            "OmniLearn (Ideal)": "0.22±0.05 0.27±0.06 0.13±0.02 - 0.57 0.02",
        },
    },
)

JETNET150 = GenerationTable(
    dataset="jetnet150",
    citation=LONG_PAPER,
    number="Table 6",
    metrics=("w1m", "w1p", "w1efp", "coverage", "mmd"),
    rows={
        "g": {
            "FPCD": "0.44±0.11 0.28±0.05 0.91±0.16 0.56 0.03",
            "FPCD, 1 step": "0.65±0.12 0.58±0.03 1.49±0.34 0.55 0.03",
            "EPiC-GAN": "0.4±0.1 3.2±0.2 1.1±0.7 - -",
            "PET generator": "0.32±0.09 0.34±0.07 1.19±0.26 0.56 0.02",
            "PET generator (Ideal)": "0.32±0.18 0.29±0.07 0.95±0.41 0.56 0.02",
            "OmniLearn": "0.47±0.18 0.31±0.11 1.05±0.23 0.56 0.02",
            "OmniLearn (Ideal)": "0.32±0.09 0.22±0.06 0.65±0.2 0.55 0.02",
        },
        "q": {
            "FPCD": "0.46±0.05 0.24±0.02 0.43±0.09 0.54 0.02",
            "FPCD, 1 step": "0.39±0.04 0.61±0.03 0.57±0.1 0.54 0.02",
            "EPiC-GAN": "0.4±0.1 3.9±0.3 0.7±0.4 - -",
            "PET generator": "0.41±0.04 0.34±0.08 0.74±0.18 0.55 0.02",
            "PET generator (Ideal)": "0.34±0.09 0.34±0.12 0.5±0.17 0.55 0.02",
            "OmniLearn": "0.46±0.13 0.39±0.11 0.54±0.14 0.53 0.02",
            "OmniLearn (Ideal)": "0.34±0.15 0.41±0.11 0.41±0.12 0.54 0.02",
        },
        "t": {
            "FPCD": "0.4±0.07 0.3±0.03 2.23±0.16 0.58 0.05",
            "FPCD, 1 step": "0.85±0.09 0.87±0.03 3.82±0.24 0.58 0.05",
            "EPiC-GAN": "0.6±0.1 3.7±0.3 2.8±0.7 - -",
            "PET generator": "0.4±0.08 0.28±0.08 1.81±0.33 0.57 0.04",
            "PET generator (Ideal)": "0.29±0.07 0.36±0.05 1.27±0.3 0.57 0.04",
            "OmniLearn": "0.38±0.05 0.3±0.07 1.84±0.3 0.57 0.04",
            "OmniLearn (Ideal)": "0.3±0.07 0.28±0.07 1.16±0.39 0.57 0.04",
        },
        "w": {
            "FPCD": "0.29±0.02 0.23±0.02 0.22±0.04 0.55 0.02",
            "FPCD, 1 step": "0.93±0.04 0.67±0.01 0.37±0.03 0.56 0.02",
            "PET generator": "0.15±0.02 0.27±0.07 0.12±0.03 0.55 0.02",
            "PET generator (Ideal)": "0.12±0.03 0.24±0.06 0.13±0.03 0.55 0.02",
            "OmniLearn": "0.18±0.01 0.27±0.05 0.14±0.04 0.56 0.02",
            "OmniLearn (Ideal)": "0.13±0.04 0.26±0.04 0.11±0.03 0.55 0.02",
        },
        "z": {
            "FPCD": "0.28±0.05 0.22±0.03 0.23±0.03 0.55 0.02",
            "FPCD, 1 step": "1.04±0.08 0.69±0.02 0.62±0.06 0.57 0.02",
            "PET generator": "0.24±0.06 0.35±0.06 0.2±0.04 0.55 0.02",
            "PET generator (Ideal)": "0.13±0.02 0.22±0.06 0.16±0.04 0.55 0.02",
            "OmniLearn": "0.19±0.05 0.38±0.11 0.19±0.03 0.56 0.02",
            "OmniLearn (Ideal)": "0.12±0.03 0.28±0.09 0.14±0.04 0.55 0.02",
        },
    },
)

PUBLISHED_GENERATION = {table.dataset: table for table in (JETNET30, JETNET150)}
