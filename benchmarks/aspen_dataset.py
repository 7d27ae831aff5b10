"""The data section of Aspen Open Jets for the files at hand: figures 1 and 2, table 1.

    python -m benchmarks aspen_dataset --data data                       # figures 1 and 2
    python -m benchmarks aspen_dataset --data data --samples raw/mc      # and the composition

O. Amram et al., arXiv:2412.10504, Sec. II. DATA/aspen is read, all splits; QCD jets of the test
split of DATA/jetclass are drawn beside, if there are any. --samples holds a folder of simulated
PFNano for every data set of CMS, called as the name of that begins. Writes dataset.json, tables.md
and the figures into --out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm

from benchmarks.aspen_composition import LUMINOSITY, Sample, composition, samples
from benchmarks.aspen_features import (
    JET_PANELS,
    KINDS,
    PANELS,
    PLANE_ETA,
    Features,
    edges,
    features,
)
from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import ASPEN, JETCLASS
from omnilearn.data.layout import find_files
from omnilearn.errors import UserError
from omnilearn.generation.transfer import identity_figure
from omnilearn.plotting.spectra import Sample as Drawn
from omnilearn.plotting.spectra import Spectrum, spectra
from omnilearn.plotting.style import figure
from omnilearn.statistics.results import Result, write_results

LOGARITHMIC = (
    "jet_pt",
    "sum_pt",
    "jet_mass",
    "soft_drop_mass",
    "pt",
    "d0",
    "d0_error",
    "dz",
    "dz_error",
    "puppi_weight",
)


def main(arguments: Sequence[str]) -> None:
    """Read the files, write tables and figures."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks aspen_dataset",
        allow_abbrev=False,
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of datasets")
    parser.add_argument("--samples", type=Path, metavar="DIR", help="simulated PFNano, for table 1")
    parser.add_argument(
        "--luminosity",
        type=float,
        default=LUMINOSITY,
        metavar="FB",
        help=f"of table 1, in fb^-1 ({LUMINOSITY})",
    )
    parser.add_argument("--jets", type=int, metavar="N", help="jets read at most (all)")
    parser.add_argument("--out", type=Path, default=Path("aspen_dataset"))
    flags = parser.parse_args(arguments)
    if flags.jets is not None and flags.jets < 1:
        raise UserError(f"--jets is {flags.jets}; at least 1 is needed")
    if not flags.luminosity > 0:
        raise UserError(f"--luminosity is {flags.luminosity:g}; it must be above 0")
    simulated = samples(flags.samples) if flags.samples else []
    found = {ASPEN.title: features(all_files(flags.data), ASPEN, flags.jets)}
    if has_jetclass(flags.data):
        paths = find_files(flags.data, JETCLASS, "test")
        jets = features(paths, JETCLASS, flags.jets, "QCD")
        if jets.jets:
            found["JetClass QCD"] = jets
    results = described(found, simulated, flags.luminosity)
    text = tables(found, simulated, flags.luminosity)
    flags.out.mkdir(parents=True, exist_ok=True)
    write_results(flags.out / "dataset.json", results)
    with atomic_path(flags.out / "tables.md") as temporary:
        temporary.write_text(text)
    figure_1(found, flags.out)
    if found[ASPEN.title].plane.any():
        figure_2(found[ASPEN.title], flags.out / "figure2_eta_phi")
    print(text)
    print(f"dataset.json, tables.md and figures are in {flags.out}")


def all_files(data: Path) -> list[Path]:
    """The files of every split there is; UserError with the command that makes them if none is."""
    found = []
    for split, _ in ASPEN.splits:
        try:
            found += find_files(data, ASPEN, split)
        except UserError:
            # few jets leave a split without a file
            if split == ASPEN.splits[-1][0] and not found:
                raise
    return found


def has_jetclass(data: Path) -> bool:
    """Whether there is a test split of JetClass to compare with."""
    try:
        return bool(find_files(data, JETCLASS, "test"))
    except UserError:
        return False


def figure_1(found: dict[str, Features], out: Path) -> None:
    """Jets and constituents, and the constituents of each kind per jet."""
    reference, *others = found.items()
    panels = {}
    for name, (label, *_) in PANELS.items():
        if name in reference[1].distributions:
            drawn = [
                Drawn.of_counts(title, one.distributions[name].counts, one.distributions[name].n)
                for title, one in (reference, *others)
                if name in one.distributions
            ]
            panels[name] = Spectrum(edges(name), drawn[0], drawn[1:], label, name in LOGARITHMIC)
    spectra(out / "figure1_features", panels)
    means, spreads = (
        {title: one.kinds_per_jet[place] for title, one in found.items()} for place in (0, 1)
    )
    identity_figure(means, spreads, list(KINDS), out / "figure1_identities")


def figure_2(found: Features, path_stem: Path) -> None:
    """All constituents in the plane of eta and phi: granularity and dead cells of the detector."""
    with figure(path_stem, (9.0, 6.5)) as axes:
        counts = np.ma.masked_equal(found.plane.T, 0)
        image = axes.imshow(
            counts,
            origin="lower",
            aspect="auto",
            norm=LogNorm(),
            interpolation="none",
            extent=(-PLANE_ETA, PLANE_ETA, -np.pi, np.pi),
        )
        axes.set_xlabel(r"constituent $\eta$")
        axes.set_ylabel(r"constituent $\phi$")
        axes.figure.colorbar(image, label="Constituents")


def described(
    found: dict[str, Features], simulated: list[Sample], luminosity: float
) -> dict[str, object]:
    """dataset.json: means with uncertainties, spreads, histograms, the composition."""
    results: dict[str, object] = {}
    for title, one in found.items():
        mean, spread = one.kinds_per_jet
        results[title] = {
            "data": one.origin,
            "jets": one.jets,
            "constituents": one.constituents,
            "without_track": one.without_track,
            "selection": list(one.selection),
            "rejected": one.rejected,
            "mean": {name: average(d.mean, d.spread, d.n) for name, d in one.distributions.items()},
            "spread": {name: d.spread for name, d in one.distributions.items()},
            "outside_bins": {
                name: int(d.n - d.counts.sum()) for name, d in one.distributions.items()
            },
            "edges": {name: edges(name).tolist() for name in one.distributions},
            "counts": {name: d.counts.tolist() for name, d in one.distributions.items()},
            "kinds_per_jet": {
                kind: average(value, deviation, one.jets)
                for kind, value, deviation in zip(KINDS, mean, spread, strict=True)
            },
        }
    if simulated:
        results["luminosity_per_fb"] = luminosity
        results["composition"] = composition(simulated, luminosity)
        results["samples"] = {
            one.name: {
                "kind": one.kind,
                "cross_section_pb": one.cross_section,
                "generated": one.generated,
                "selected_jets": one.selected,
                "expected": one.expected(luminosity),
            }
            for one in simulated
        }
    return results


def average(mean: float, spread: float, n: int) -> Result:
    """A mean and its statistical uncertainty, independent values assumed."""
    return Result(float(mean), float(spread) / np.sqrt(n) if n else None, int(n))


def tables(found: dict[str, Features], simulated: list[Sample], luminosity: float) -> str:
    """The numbers of the figures and of table 1 in Markdown."""
    lines = ["# Aspen Open Jets: the data", ""]
    for title, one in found.items():
        lines.append(
            f"{title}: {one.jets} jets ({one.origin}), {one.constituents} constituents, "
            f"of which {one.without_track} are known to have no track."
        )
        lines += [f"- selection: {sentence}" for sentence in one.selection]
        lines += [f"- left out: {number} {reason}" for reason, number in one.rejected.items()]
    titles = list(found)
    lines += ["", *head(["quantity", *(f"{t}: mean, spread, outside the bins" for t in titles)])]
    for name in PANELS:
        cells = []
        for one in found.values():
            d = one.distributions.get(name)
            cells.append(
                "-"
                if d is None
                else f"{average(d.mean, d.spread, d.n).text}, {d.spread:.4g}, "
                f"{(d.n - d.counts.sum()) / d.n:.2%}"
            )
        of = "jets" if name in JET_PANELS else "constituents"
        lines.append(f"| {name} ({of}) | {' | '.join(cells)} |")
    lines += ["", *head(["constituents per jet", *(f"{t}: mean, spread" for t in titles)])]
    for place, kind in enumerate(KINDS):
        numbers = [[float(part[place]) for part in one.kinds_per_jet] for one in found.values()]
        cells = [f"{mean:.3f}, {spread:.3f}" for mean, spread in numbers]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    if simulated:
        lines += composition_table(simulated, luminosity, found[ASPEN.title].jets)
    return "\n".join(lines) + "\n"


def composition_table(simulated: list[Sample], luminosity: float, jets: int) -> list[str]:
    """Table 1: jets of each kind, of the samples and of all of them; QCD is the rest of the data.

    The rest is that of `jets` jets, which is right when these are all data of that luminosity.
    """
    kinds = composition(simulated, luminosity)
    lines = [
        "",
        f"Composition at {luminosity:g} fb^-1:",
        "",
        *head(["sample", "cross section [pb]", "selected", "matched", "expected"]),
    ]
    for one in simulated:
        lines.append(
            f"| {one.name} | {one.cross_section:g} | {one.selected} | {one.matched} | "
            f"{one.expected(luminosity).text} |"
        )
    lines += ["", *head(["kind", "jets", "matched"])]
    lines += [f"| {kind} | {result.text} | {result.n} |" for kind, result in kinds.items()]
    heavy = sum(result.value for kind, result in kinds.items() if kind != "QCD")
    if heavy < jets:
        lines.append(f"| QCD, the rest of the data | {jets - heavy:.0f} | - |")
    return lines


def head(cells: list[str]) -> list[str]:
    """The first two lines of a table whose first column is text."""
    return [f"| {' | '.join(cells)} |", f"| --- |{' --: |' * (len(cells) - 1)}"]
