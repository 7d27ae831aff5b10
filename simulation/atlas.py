"""ATLAS top tagging: tops of heavy Z' and biased dijets in flat HDF5 files, in MeV.

ATLAS Collaboration, ATL-PHYS-PUB-2022-039 and CERN open data record 15013: large-radius jets,
350-3150 GeV, tops with all decay quarks inside. There the detector is ATLAS in Geant4; here it is
the CMS-like one, and the fifteen high-level observables of the public files are left out.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.kinematics import invariant_mass
from simulation.detector import RESPONSE
from simulation.generator_card import LONG_LIVED, W_TO_QUARKS, GeneratorCard, Process
from simulation.plan import OutputFile, add_jets, at_least
from simulation.sample import four_momenta, jets_in_window, pt_eta_phi
from simulation.writers import HDF5Writer, hdf5, slots

SLOTS = 200
MEV = 1e3  # per GeV
CONSTITUENT = ("fjet_clus_pt", "fjet_clus_eta", "fjet_clus_phi", "fjet_clus_E")
JET = ("fjet_pt", "fjet_eta", "fjet_phi", "fjet_m")
ATTRIBUTES = {
    "constit": list(CONSTITUENT),
    "jet": list(JET),
    "hl": [],
    "num_cons": SLOTS,
    "num_jet_features": len(JET),
    "num_hl": 0,
}
PT_RANGE = (350.0, 3150.0)
PT_EDGES = np.geomspace(*PT_RANGE, 9)  # bins in which the weights balance the classes

PROCESSES = (
    Process(
        "QCD",
        # flattened in pTHat, since the jets of an unweighted sample lie at the lower edge
        (
            (
                "HardQCD:all = on",
                "PhaseSpace:pTHatMin = 250.",
                "PhaseSpace:bias2Selection = on",
                "PhaseSpace:bias2SelectionPow = 5.",
                "PhaseSpace:bias2SelectionRef = 250.",
            ),
        ),
        jets_per_second=150,
    ),
    Process(
        "top",
        # several masses, each of which covers a part of the range of pt
        tuple(
            (
                "NewGaugeBoson:ffbar2gmZZprime = on",
                "Zprime:gmZmode = 3",
                f"32:m0 = {mass}.",
                "32:doForceWidth = on",
                "32:mWidth = 100.",
                "32:onMode = off",
                "32:onIfAny = 6",
                *W_TO_QUARKS,
            )
            for mass in (2000, 4000, 6000)
        ),
        jets_per_second=180,
        resonance=6,
    ),
)
SIGNAL = 1


def columns(jets: ak.Array, split: str) -> dict[str, np.ndarray]:
    """The columns of a chunk: constituents (jets, 200) by falling pt, jets (jets,), in MeV."""
    part = jets.constituents
    pt, eta, phi = pt_eta_phi(part)
    constituents = (MEV * pt, eta, phi, MEV * part.energy)
    momenta = four_momenta(jets)
    label = ak.to_numpy(jets.process == SIGNAL).astype(np.int64)
    calibrated = momenta[:, 0] / RESPONSE  # as in the public files
    per_jet = (
        MEV * calibrated,
        momenta[:, 1],
        momenta[:, 2],
        MEV * invariant_mass(momenta) / RESPONSE,
    )
    return {
        **{
            name: slots(values, SLOTS).astype(np.float32)
            for name, values in zip(CONSTITUENT, constituents, strict=True)
        },
        **{name: values.astype(np.float32) for name, values in zip(JET, per_jet, strict=True)},
        "labels": label,
        "weights": training_weights(calibrated, label),
    }


def training_weights(pt: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Weights (jets,): 1 for tops; background gets their pt spectrum and the mean weight 1."""
    bins = np.searchsorted(PT_EDGES, pt)
    background = label != SIGNAL
    tops, others = (
        # one more in each bin, so that none is empty
        np.bincount(bins[selected], minlength=len(PT_EDGES) + 1) + 1.0
        for selected in (~background, background)
    )
    weights = np.where(background, (tops / others)[bins], 1.0)
    weights[background] *= np.count_nonzero(background) / max(weights[background].sum(), 1e-9)
    return weights


@contextmanager
def writer(path: Path) -> Iterator[HDF5Writer]:
    """A new file with the public attributes."""
    with hdf5(path, ATTRIBUTES) as content:
        yield content
        content.file.attrs["num_jets"] = len(content.file["labels"])


CARD = GeneratorCard(
    name="atlas",
    settings=("Beams:eCM = 13000.", *LONG_LIVED),
    processes=PROCESSES,
    jet_radius=1.0,
    pt_range=(RESPONSE * PT_RANGE[0], RESPONSE * PT_RANGE[1]),
    eta_max=2.0,
    chunk_size=400,
    columns=columns,
    writer=writer,
    select=jets_in_window,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    explanation = "jets of train.h5, half of them tops; preprocessing splits off validation jets"
    add_jets(parser, explanation)
    parser.add_argument(
        "--test-jets",
        type=at_least(0),
        metavar="N",
        help="jets of test.h5, on top of the training jets (default: N // 3 of them)",
    )


def files(args: argparse.Namespace) -> list[OutputFile]:
    """train.h5 and test.h5; half of the jets are signal, an odd one is background."""
    test = args.jets // 3 if args.test_jets is None else args.test_jets
    return [
        OutputFile(args.out / f"{split}.h5", split, (count - count // 2, count // 2))
        for split, count in (("train", args.jets), ("test", test))
        if count
    ]
