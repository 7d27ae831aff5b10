"""The data section of Aspen Open Jets for the files at hand: figures 1 and 2, table 1.

    python -m benchmarks aspen_dataset --data data                       # figures 1 and 2
    python -m benchmarks aspen_dataset --data data --samples raw/mc      # and the composition

O. Amram et al., arXiv:2412.10504, Sec. II. All splits of DATA/aspen are read; QCD jets of the test
split of DATA/jetclass are drawn for comparison, if there are any. --samples holds a folder of
simulated PFNano for every data set of CMS, whose name begins as that of the data set. Writes
dataset.json, tables.md and the figures into --out.
"""

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
    Distribution,
    Features,
    edges,
    features,
)
from benchmarks.markdown import BLANK, markdown
from benchmarks.programs import command_parser, write_text
from omnilearn.data.catalogue import ASPEN, JETCLASS
from omnilearn.data.layout import find_files
from omnilearn.data.spec import DatasetSpec
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
    parser = command_parser("aspen_dataset", __doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of datasets")
    parser.add_argument("--samples", type=Path, metavar="DIR", help="simulated PFNano, for table 1")
    luminosity = f"of table 1, in fb^-1 ({LUMINOSITY})"
    parser.add_argument("--luminosity", type=float, default=LUMINOSITY, help=luminosity)
    parser.add_argument("--jets", type=int, metavar="N", help="jets read at most (all)")
    parser.add_argument("--out", type=Path, default=Path("aspen_dataset"))
    flags = parser.parse_args(arguments)
    if flags.jets is not None and flags.jets < 1:
        raise UserError(f"--jets is {flags.jets}; at least 1 is needed")
    if not flags.luminosity > 0:
        raise UserError(f"--luminosity is {flags.luminosity:g}; it must be above 0")
    simulated = samples(flags.samples) if flags.samples else []
    splits = [split for split, _ in ASPEN.splits]
    paths = [path for split in splits for path in existing_files(flags.data, ASPEN, split)]
    paths = paths or find_files(flags.data, ASPEN, splits[-1])  # which raises UserError
    data_sets = {ASPEN.title: features(paths, ASPEN, flags.jets)}
    jetclass = existing_files(flags.data, JETCLASS, "test")
    if jetclass and (qcd := features(jetclass, JETCLASS, flags.jets, "QCD")).jets:
        data_sets["JetClass QCD"] = qcd
    results = described(data_sets, simulated, flags.luminosity)
    text = tables(data_sets, simulated, flags.luminosity)
    flags.out.mkdir(parents=True, exist_ok=True)
    write_results(flags.out / "dataset.json", results)
    write_text(flags.out / "tables.md", text)
    figure_1(data_sets, flags.out)
    if data_sets[ASPEN.title].plane.any():
        figure_2(data_sets[ASPEN.title], flags.out / "figure2_eta_phi")
    print(text)
    print(f"dataset.json, tables.md and figures are in {flags.out}")


def existing_files(data: Path, spec: DatasetSpec, split: str) -> list[Path]:
    """The files of a split, if there are any."""
    try:
        return find_files(data, spec, split)
    except UserError:
        return []


def figure_1(data_sets: dict[str, Features], out: Path) -> None:
    """Jets and constituents, and the constituents of each kind per jet."""
    panels = {}
    for name, (label, *_) in PANELS.items():
        if name in data_sets[ASPEN.title].distributions:
            first, *others = [
                Drawn.of_counts(title, sample.counts, sample.n)
                for title, data_set in data_sets.items()
                if (sample := data_set.distributions.get(name))
            ]
            panels[name] = Spectrum(edges(name), first, others, label, name in LOGARITHMIC)
    spectra(out / "figure1_features", panels)
    means, spreads = (
        {title: sample.kinds_per_jet[moment] for title, sample in data_sets.items()}
        for moment in (0, 1)
    )
    identity_figure(means, spreads, list(KINDS), out / "figure1_identities")


def figure_2(aspen: Features, path_stem: Path) -> None:
    """All constituents in the plane of eta and phi: granularity and dead cells of the detector."""
    with figure(path_stem, (9.0, 6.5)) as axes:
        counts = np.ma.masked_equal(aspen.plane.T, 0)
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
    data_sets: dict[str, Features], simulated: list[Sample], luminosity: float
) -> dict[str, object]:
    """dataset.json: means with uncertainties, spreads, histograms, the composition."""
    results: dict[str, object] = {}
    for title, sample in data_sets.items():
        mean, spread = sample.kinds_per_jet
        results[title] = {
            "data": sample.origin,
            "jets": sample.jets,
            "constituents": sample.constituents,
            "without_track": sample.without_track,
            "selection": list(sample.selection),
            "rejected": sample.rejected,
            "mean": {
                name: average(d.mean, d.spread, d.n) for name, d in sample.distributions.items()
            },
            "spread": {name: d.spread for name, d in sample.distributions.items()},
            "outside_bins": {
                name: int(d.n - d.counts.sum()) for name, d in sample.distributions.items()
            },
            "edges": {name: edges(name).tolist() for name in sample.distributions},
            "counts": {name: d.counts.tolist() for name, d in sample.distributions.items()},
            "kinds_per_jet": {
                kind: average(value, deviation, sample.jets)
                for kind, value, deviation in zip(KINDS, mean, spread, strict=True)
            },
        }
    if simulated:
        results["luminosity_per_fb"] = luminosity
        results["composition"] = composition(simulated, luminosity)
        results["samples"] = {
            sample.name: {
                "kind": sample.kind,
                "cross_section_pb": sample.cross_section,
                "generated": sample.generated,
                "selected_jets": sample.selected,
                "expected": sample.expected(luminosity),
            }
            for sample in simulated
        }
    return results


def average(mean: float, spread: float, n: int) -> Result:
    """A mean of independent values and its statistical uncertainty."""
    return Result(float(mean), float(spread) / np.sqrt(n) if n else None, int(n))


def tables(data_sets: dict[str, Features], simulated: list[Sample], luminosity: float) -> str:
    """The numbers of the figures and of table 1 in Markdown."""
    lines = ["# Aspen Open Jets: the data", ""]
    for title, sample in data_sets.items():
        lines.append(
            f"{title}: {sample.jets} jets ({sample.origin}), {sample.constituents} constituents, "
            f"of which {sample.without_track} are known to have no track."
        )
        lines += [f"- selection: {sentence}" for sentence in sample.selection]
        lines += [f"- left out: {count} {reason}" for reason, count in sample.rejected.items()]
    panels = [["quantity", *(f"{title}: mean, spread, outside the bins" for title in data_sets)]]
    for name in PANELS:
        cells = [panel_text(sample.distributions.get(name)) for sample in data_sets.values()]
        panels.append([f"{name} ({'jets' if name in JET_PANELS else 'constituents'})", *cells])
    kinds = [["constituents per jet", *(f"{title}: mean, spread" for title in data_sets)]]
    moments = [sample.kinds_per_jet for sample in data_sets.values()]
    for index, kind in enumerate(KINDS):
        cells = [f"{mean[index]:.3f}, {spread[index]:.3f}" for mean, spread in moments]
        kinds.append([kind, *cells])
    sections = ["\n".join(lines) + "\n", markdown(panels, texts=1), markdown(kinds, texts=1)]
    if simulated:
        sections += composition_tables(simulated, luminosity, data_sets[ASPEN.title].jets)
    return "\n".join(sections)


def panel_text(distribution: Distribution | None) -> str:
    """Mean, spread and share outside the bins of one quantity."""
    if distribution is None:
        return BLANK
    mean = average(distribution.mean, distribution.spread, distribution.n)
    outside = (distribution.n - distribution.counts.sum()) / distribution.n
    return f"{mean.text}, {distribution.spread:.4g}, {outside:.2%}"


def composition_tables(simulated: list[Sample], luminosity: float, jets: int) -> list[str]:
    """Table 1: jets of each sample and of each kind; QCD is the rest of the data.

    The rest is that of `jets` jets, which is right when these are all data of that luminosity.
    """
    rows = [["sample", "cross section [pb]", "selected", "matched", "expected"]]
    for sample in simulated:
        counts = [f"{sample.cross_section:g}", str(sample.selected), str(sample.matched)]
        rows.append([sample.name, *counts, sample.expected(luminosity).text])
    kinds = composition(simulated, luminosity)
    kind_rows = [["kind", "jets", "matched"]]
    kind_rows += [[kind, result.text, str(result.n)] for kind, result in kinds.items()]
    heavy = sum(result.value for kind, result in kinds.items() if kind != "QCD")
    if heavy < jets:
        kind_rows.append(["QCD, the rest of the data", f"{jets - heavy:.0f}", BLANK])
    title = f"Composition at {luminosity:g} fb^-1:\n"
    return [title, markdown(rows, texts=1), markdown(kind_rows, texts=1)]
