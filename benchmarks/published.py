"""Published numbers: each row as printed, with the table it stands in.

The uncertainties are the papers' own, mostly the spread over repeated trainings; no entry was
computed here. A metric is (value, uncertainty), uncertainty None if the paper gives none.
"""

from dataclasses import dataclass

Number = tuple[float, float | None]


@dataclass(frozen=True)
class PublishedRow:
    """One model in one published table; metrics that the table leaves blank are None."""

    model: str
    dataset: str  # name in the catalogue
    citation: str
    table: str
    jets: int  # size of the public test sample
    metrics: dict[str, Number | None]


def _top(
    model: str,
    accuracy: Number | None,
    auc: Number | None,
    rejection_half: Number | None,
    rejection_third: Number | None,
) -> PublishedRow:
    return PublishedRow(
        model=model,
        dataset="top",
        citation="arXiv:2502.14652",
        table="Table 1",
        jets=404_000,
        metrics={
            "accuracy": accuracy,
            "auc": auc,
            "rejection_0.5": rejection_half,
            "rejection_0.3": rejection_third,
        },
    )


# Top tagging: accuracy, AUC, 1/eB at signal efficiency 0.5 and 0.3.
TOP_TAGGING = (
    _top("ResNeXt-50", (0.936, None), (0.9837, None), (302, 5), (1147, 58)),
    _top("P-CNN", (0.930, None), (0.9803, None), (201, 4), (759, 24)),
    _top("PFN", None, (0.9819, None), (247, 3), (888, 17)),
    _top("ParticleNet", (0.940, None), (0.9858, None), (397, 7), (1615, 93)),
    _top("JEDI-net", (0.930, None), (0.9807, None), None, (774.6, None)),
    _top("PCT", (0.940, None), (0.9855, None), (392, 11), (1559, 98)),
    _top("LGN", (0.929, None), (0.964, None), None, (435, 95)),
    _top("rPCN", None, (0.9845, None), (364, 9), (1642, 93)),
    _top("LorentzNet", (0.942, None), (0.9868, None), (498, 18), (2195, 173)),
    _top("PELICAN", (0.9425, None), (0.9869, None), None, (2289, 204)),
    _top("ParT", (0.940, None), (0.9858, None), (413, 16), (1602, 81)),
    _top("ParT-f.t.", (0.944, None), (0.9877, None), (691, 15), (2766, 130)),
    _top("Mixer", None, (0.9859, None), (416, None), None),
    _top("PET Classifier", (0.938, None), (0.9848, None), (340, 12), (1318, 39)),
    _top("OmniLearn", (0.942, None), (0.9872, None), (568, 9), (2647, 192)),
)

PUBLISHED = {"top": TOP_TAGGING}
