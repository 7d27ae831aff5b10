"""A CMS-like detector: tracks, electromagnetic and hadronic cells, energy flow, impact parameters.

The constants are those of the Delphes card of CMS (arXiv:1307.6346, cards/delphes_card_CMS.tcl).
Impact-parameter resolutions are CMS-like but ours. Not modelled: bending before the calorimeter,
pile-up, fake tracks, the card's rescaling of track energies; impact parameters are straight-line.
"""

from dataclasses import dataclass

import awkward as ak
import numpy as np

from simulation.generator import Events

NEUTRINOS = (12, 14, 16)
KINDS = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)

LEAST_PT = 1e-9  # GeV; of a particle along the beam
LOWEST_PT = 0.5  # GeV, default threshold of objects
RESPONSE = 0.979  # mean pt of a reconstructed jet over the true one
TRACKER_ETA = 2.5
CALORIMETER_ETA = 5.0
SIGNIFICANCE = 2.0  # threshold of a cell, before and after subtracting tracks, in resolutions

# (upper |eta|, width in eta, width in phi [degrees]) of each region of cells
ECAL_REGIONS = ((3.0, 0.0174, 1.0), (CALORIMETER_ETA, 0.175, 10.0))
HCAL_REGIONS = ((1.65, 0.087, 5.0), (3.0, 0.12, 10.0), (CALORIMETER_ETA, 0.175, 10.0))
ECAL_LOWEST, HCAL_LOWEST = 0.5, 1.0  # GeV
STRANGE = (310, 3122)  # K0S and Lambda that reach the calorimeter
STRANGE_ECAL_FRACTION = 0.3

# relative pT resolution sqrt(a^2 + (b pT)^2) in |eta| below .5, 1.5, 2.5
TRACK_ETA_EDGES = (0.5, 1.5)
TRACK_RESOLUTION = {
    CHARGED_HADRON: ((0.01, 1.5e-4), (0.015, 2.5e-4), (0.025, 5.5e-4)),
    ELECTRON: ((0.03, 1.3e-3), (0.05, 1.7e-3), (0.15, 3.1e-3)),
    MUON: ((0.01, 1.0e-4), (0.015, 1.5e-4), (0.025, 3.5e-4)),
}
# efficiency in |eta| below and above 1.5, for pT in the ranges cut at these edges [GeV]
EFFICIENCY_PT_EDGES = (0.1, 1.0, 100.0)
TRACK_EFFICIENCY = {
    CHARGED_HADRON: ((0.0, 0.70, 0.95, 0.95), (0.0, 0.60, 0.85, 0.85)),
    ELECTRON: ((0.0, 0.73, 0.95, 0.99), (0.0, 0.50, 0.83, 0.90)),
    MUON: ((0.0, 0.75, 0.99, 0.99), (0.0, 0.70, 0.98, 0.98)),
}


@dataclass(frozen=True)
class Detector:
    """A detector that differs from that of the card by factors; all ones: the card itself.

    The reconstruction does not know them: thresholds in units of the resolution stay those of the
    card, and the energies of tracks are subtracted without a correction.
    """

    track_efficiency: float = 1.0
    resolution: float = 1.0  # standard deviation of momenta of tracks and of energies of all cells
    hadronic_scale: float = 1.0  # mean energy of a hadronic cell


NOMINAL = Detector()


@dataclass(frozen=True)
class Objects:
    """Reconstructed objects of a batch, ordered by event; arrays (objects,), GeV and mm."""

    event: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    charge: np.ndarray
    pdg_id: np.ndarray  # as identified by the detector: 211, 130, 22, 11, 13 with the sign
    kind: np.ndarray  # index into KINDS
    d0: np.ndarray
    d0_error: np.ndarray
    dz: np.ndarray
    dz_error: np.ndarray

    def by_event(self, count: int) -> ak.Array:
        """Records (events, var objects) of a batch of `count` events."""
        return ak.unflatten(ak.zip(vars(self)), np.bincount(self.event, minlength=count))

    def __getitem__(self, selected: np.ndarray) -> "Objects":
        return Objects(**{name: values[selected] for name, values in vars(self).items()})


def pseudorapidity(pt: np.ndarray, pz: np.ndarray) -> np.ndarray:
    """eta, large but finite along the beam."""
    return np.arcsinh(pz / np.maximum(pt, LEAST_PT))


def log_normal(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positive numbers with the given mean and standard deviation; 0 for a mean of 0."""
    width2 = np.log1p(np.divide(sigma, mean, out=np.zeros(len(mean)), where=mean > 0) ** 2)
    return mean * np.exp(np.sqrt(width2) * rng.standard_normal(len(mean)) - 0.5 * width2)


def ecal_resolution(eta: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Standard deviation [GeV] of the energy of an electromagnetic cell."""
    eta = np.abs(eta)
    central = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    forward = np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    return np.select(
        [eta <= 1.5, eta <= 2.5],
        [(1 + 0.64 * eta**2) * central, (2.16 + 5.6 * (eta - 2) ** 2) * central],
        forward,
    )


def hcal_resolution(eta: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Standard deviation [GeV] of the energy of a hadronic cell."""
    central = np.sqrt((0.05 * energy) ** 2 + 1.5**2 * energy)
    forward = np.sqrt((0.13 * energy) ** 2 + 2.7**2 * energy)
    return np.where(np.abs(eta) <= 3.0, central, forward)


def track_efficiency(kind: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Probability that the track of a charged particle is reconstructed."""
    table = np.array([TRACK_EFFICIENCY.get(k, ((0.0,) * 4,) * 2) for k in range(len(KINDS))])
    region = (np.abs(eta) > 1.5).astype(int)
    inside = np.abs(eta) < TRACKER_ETA
    return table[kind, region, np.searchsorted(EFFICIENCY_PT_EDGES, pt)] * inside


def track_resolution(kind: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Relative pT resolution of a track."""
    table = np.array([TRACK_RESOLUTION.get(k, ((0.0, 0.0),) * 3) for k in range(len(KINDS))])
    constant, slope = np.moveaxis(table[kind, np.searchsorted(TRACK_ETA_EDGES, np.abs(eta))], 1, 0)
    return np.hypot(constant, slope * pt)


def cells(
    regions: tuple, event: np.ndarray, eta: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Key, lower |eta|, lower phi and the two widths of the cell that each direction hits."""
    upper = np.array([region[0] for region in regions])
    lower = np.concatenate([[0.0], upper[:-1]])
    size_eta = np.array([region[1] for region in regions])
    size_phi = np.radians([region[2] for region in regions])
    region = np.searchsorted(upper, np.abs(eta), side="right")
    width_eta, width_phi = size_eta[region], size_phi[region]
    i = ((np.abs(eta) - lower[region]) / width_eta).astype(np.int64)
    j = ((phi + np.pi) / width_phi).astype(np.int64)
    key = (((event * 2 + (eta > 0)) * len(upper) + region) * 1024 + i) * 1024 + j
    return key, lower[region] + i * width_eta, j * width_phi - np.pi, width_eta, width_phi


def energy_flow(
    regions: tuple,
    resolution,
    lowest: float,
    hits: dict[str, np.ndarray],
    rng: np.random.Generator,
    smearing: float = 1.0,
    scale: float = 1.0,
) -> dict[str, np.ndarray]:
    """Neutral objects of a calorimeter: event, eta, phi, energy of massless objects.

    `hits` holds event, eta, phi, deposit and tracked (the energy of the reconstructed track, 0
    without one) of every particle that deposits energy. Deposits are summed in cells, smeared by
    `smearing` times the resolution, multiplied by `scale` and cut, and the energies of tracks are
    subtracted.
    """
    key, low_eta, low_phi, width_eta, width_phi = cells(
        regions, hits["event"], hits["eta"], hits["phi"]
    )
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    eta = np.copysign(low_eta[first] + 0.5 * width_eta[first], hits["eta"][first])
    deposit = np.bincount(cell, hits["deposit"])
    tracked = np.bincount(cell, hits["tracked"])
    energy = scale * log_normal(deposit, smearing * resolution(eta, deposit), rng)
    sigma = resolution(eta, energy)
    energy[(energy < lowest) | (energy < SIGNIFICANCE * sigma)] = 0.0
    neutral = energy - tracked
    selected = (neutral > lowest) & (neutral > SIGNIFICANCE * sigma)
    position = rng.random((2, len(first)))  # of the object within its cell, uniform
    eta = np.copysign(low_eta[first] + position[0] * width_eta[first], hits["eta"][first])
    phi = low_phi[first] + position[1] * width_phi[first]
    objects = {"event": hits["event"][first], "eta": eta, "phi": phi, "energy": neutral}
    return {name: values[selected] for name, values in objects.items()}


def reconstruct(
    events: Events,
    rng: np.random.Generator,
    lowest_pt: float = LOWEST_PT,
    detector: Detector = NOMINAL,
) -> Objects:
    """Tracks, photons and neutral hadrons of the final particles of `events`, above `lowest_pt`
    [GeV], as `detector` measures them."""
    final = np.flatnonzero(
        (events.status > 0) & ~np.isin(np.abs(events.pdg_id), NEUTRINOS)
    )  # (stable visible particles,)
    px, py, pz = events.px[final], events.py[final], events.pz[final]
    energy, charge = events.energy[final], events.charge[final]
    event, species = events.event[final], np.abs(events.pdg_id[final])
    pt, phi = np.hypot(px, py), np.arctan2(py, px)
    eta = pseudorapidity(pt, pz)
    kind = kinds(species, charge)

    efficiency = detector.track_efficiency * track_efficiency(kind, pt, eta)
    tracked = rng.random(len(final)) < efficiency
    width = detector.resolution * track_resolution(kind, pt, eta)
    # reconstructed over true momentum, 0 without a track
    scale = np.where(tracked, log_normal(np.ones_like(pt), width, rng), 0.0)
    momentum = pt * np.cosh(eta)
    mass2 = np.maximum(energy**2 - momentum**2, 0.0)
    track_energy = np.where(tracked, np.sqrt((scale * momentum) ** 2 + mass2), 0.0)

    ecal_fraction = np.select(
        [np.isin(kind, (ELECTRON, PHOTON)), np.isin(species, STRANGE)],
        [1.0, STRANGE_ECAL_FRACTION],
        0.0,
    )
    hcal_fraction = np.where(kind == MUON, 0.0, 1.0 - ecal_fraction)

    def hits(fraction: np.ndarray) -> dict[str, np.ndarray]:
        selected = (fraction > 0) & (np.abs(eta) < CALORIMETER_ETA)
        columns = {"event": event, "eta": eta, "phi": phi, "deposit": fraction * energy}
        columns["tracked"] = track_energy
        return {name: values[selected] for name, values in columns.items()}

    electromagnetic, hadronic = hits(ecal_fraction), hits(hcal_fraction)
    smearing, hadronic_scale = detector.resolution, detector.hadronic_scale
    photons = energy_flow(
        ECAL_REGIONS, ecal_resolution, ECAL_LOWEST, electromagnetic, rng, smearing
    )
    neutrals = energy_flow(
        HCAL_REGIONS, hcal_resolution, HCAL_LOWEST, hadronic, rng, smearing, hadronic_scale
    )

    x, y, z = events.x[final], events.y[final], events.z[final]
    pt = np.maximum(pt, LEAST_PT)  # along the beam: no track
    d0_error = np.sqrt(0.010**2 + (0.055 / pt) ** 2 * np.cosh(eta))
    dz_error = np.sqrt(0.020**2 + (0.090 / pt) ** 2 * np.cosh(eta) ** 2)
    d0 = (x * py - y * px) / pt + d0_error * rng.standard_normal(len(pt))
    dz = z - (x * px + y * py) * pz / pt**2 + dz_error * rng.standard_normal(len(pt))
    pdg_id = assumed_pdg_id(kind, charge)
    momentum = (scale * px, scale * py, scale * pz, track_energy)
    impact_parameters = (d0, d0_error, dz, dz_error)
    tracks = Objects(event, *momentum, charge, pdg_id, kind, *impact_parameters)[tracked]
    return assemble(
        tracks, massless(photons, PHOTON), massless(neutrals, NEUTRAL_HADRON), lowest_pt=lowest_pt
    )


def kinds(species: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """Index into KINDS of particles with these |PDG ids| and charges."""
    return np.select(
        [species == 11, species == 13, species == 22, charge != 0],
        [ELECTRON, MUON, PHOTON, CHARGED_HADRON],
        NEUTRAL_HADRON,
    )


def assumed_pdg_id(kind: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """PDG ids of objects of these kinds; every charged hadron is taken as a pion."""
    ids = np.array([211, 130, 22, -11, -13])[kind]  # of positive charge, where leptons have id < 0
    return np.where(charge < 0, -ids, ids)


def visible(events: Events, rng: np.random.Generator) -> Objects:
    """The final particles without neutrinos, for samples without a detector."""
    final = (events.status > 0) & ~np.isin(np.abs(events.pdg_id), NEUTRINOS)
    names = ("event", "px", "py", "pz", "energy", "charge", "pdg_id")
    columns = {name: getattr(events, name)[final] for name in names}
    kind = kinds(np.abs(columns["pdg_id"]), columns["charge"])
    zero = np.zeros(len(kind))
    return Objects(**columns, kind=kind, d0=zero, d0_error=zero, dz=zero, dz_error=zero)


def massless(cluster: dict[str, np.ndarray], kind: int) -> Objects:
    """Neutral objects from (event, eta, phi, energy); they carry no impact parameter."""
    eta, phi, energy = cluster["eta"], cluster["phi"], cluster["energy"]
    pt = energy / np.cosh(eta)
    momentum = (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy)
    zero, kinds = np.zeros_like(pt), np.full(len(pt), kind)
    pdg_id = assumed_pdg_id(kinds, zero)
    return Objects(cluster["event"], *momentum, zero, pdg_id, kinds, zero, zero, zero, zero)


def assemble(*parts: Objects, lowest_pt: float) -> Objects:
    """All objects above `lowest_pt` [GeV], event by event."""
    objects = Objects(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    )
    above = np.hypot(objects.px, objects.py) > lowest_pt
    order = np.argsort(objects.event, kind="stable")
    return objects[order[above[order]]]
