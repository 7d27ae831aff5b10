"""The reference of a search from files of its own: generated in the sidebands, or simulated.

FOLDER/density is the generator of CATHODE with its events, FOLDER/sidebands_KIND the classifier
that weights a reference. All cells of a search, and all its repeats, share them.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from omnilearn.anomaly import density, sideband_weights
from omnilearn.anomaly.dijet_sampling import DijetSampler, reference_files, sampled_reference
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import FROM_FILES, WEIGHTED, SearchConfig, recorded_events
from omnilearn.anomaly.regions import require_same
from omnilearn.config import Config, Start, read_config
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import require_jets
from omnilearn.generation.sampling import Solver

SAMPLING_BATCH = 256  # jets
FIRST_OF_SIDEBANDS = 1 << 40  # number of the first event sampled there


class Reference:
    """The stages of a reference: train the generator, sample it, weight it."""

    def __init__(
        self,
        spec: DatasetSpec,
        config: Config,
        folder: Path,
        start: Start,
        settings,
        regions: Mapping,
    ):
        """settings: SearchSettings; folder: of the search; regions: as `recorded_regions`."""
        self.spec, self.config, self.folder = spec, config, folder
        self.start, self.settings, self.kind = start, settings, settings.kind
        self.regions = regions
        self.run, self.classifier = folder / "density", folder / f"sidebands_{self.kind}"

    def does(self, stage: str) -> bool:
        return self.settings.stage in ("all", stage)

    def files(self) -> list[Path]:
        """Files of the reference; a generated one is trained and sampled first, as --stage says.

        Raises UserError when --stage sample has no generator, or a later one no reference.
        """
        if self.kind not in FROM_FILES:
            return []
        if self.kind == "salad":
            simulation = self.settings.simulation
            if Path(simulation).resolve() == Path(self.config.data).resolve():
                raise UserError(
                    f"--simulation is {simulation}, the folder of the data; expected another one, "
                    "with background of another simulation"
                )
            return sideband_weights.simulated_files(Path(simulation), self.spec)
        return self.generated()

    def generated(self) -> list[Path]:
        """Files of generated events in the signal region, and for weights in the sidebands."""
        settings = self.settings
        events = Dijets(self.spec, self.config.data)
        recorded, about = self.recorded(events, self.run)
        solver = Solver(steps=settings.sampling_steps)
        if self.does("density"):
            seed, flags = settings.density_seed, settings.density
            found = self.spec.jets_per_event * density.sidebands(events, recorded, "train").sum()
            require_jets(
                "--train-jets", self.config.train_jets, found, "jets for training in the sidebands"
            )
            own = density.density_config(self.config, self.folder, seed, flags)
            density.train(events, recorded, own, self.start, settings.jet_network, solver, about)
        else:
            require_same(self.run, self.regions)
        masses = events.mass[recorded & events.in_sidebands]
        in_region, in_sidebands = (self.run / name for name in sideband_weights.FOLDERS)
        counts = {in_region: settings.reference_background}
        if self.kind in WEIGHTED:
            counts[in_sidebands] = min(settings.sideband_events, len(masses))
        if self.does("sample"):
            sampler = self.sampler(solver)
            spectrum = density.sideband_fit(events, recorded)
            about = {"background": [round(value, 6) for value in spectrum.background]}
            sampled_reference(in_region, sampler, spectrum.sampled, counts[in_region], about)
            if in_sidebands in counts:
                masses_of, about = partial(quantiles, masses), {"masses": len(masses)}
                count, first = counts[in_sidebands], FIRST_OF_SIDEBANDS
                sampled_reference(in_sidebands, sampler, masses_of, count, about, first)
        paths = [
            path for folder, count in counts.items() for path in reference_files(folder, count)
        ]
        missing = [path for path in paths if not path.is_file()]
        if missing and settings.stage in ("weight", "classify"):
            raise UserError(f"{missing[0]} not found; sample the reference with --stage sample")
        return paths

    def sampler(self, solver: Solver) -> DijetSampler:
        """The trained generator; raises UserError without one."""
        if not (self.run / "jets" / "best.h5").is_file():
            raise UserError(f"{self.run} holds no trained generator; train it with --stage density")
        return DijetSampler(self.run, self.spec, solver, SAMPLING_BATCH, self.settings.density_seed)

    def weights(self, events: Dijets) -> np.ndarray:
        """Weights (N,) of the reference; the classifier is trained first, as --stage says."""
        if self.kind not in WEIGHTED:
            return np.ones(len(events.mass))
        settings, run = self.settings, self.classifier
        if self.does("weight"):
            recorded, about = self.recorded(events, run)
            about |= {"simulation": settings.simulation}
            own = replace(
                self.config, runs=str(self.folder), name=run.name, seed=settings.density_seed
            )
            most = settings.sideband_events
            sideband_weights.train(events, recorded, most, own, self.start, about)
        else:
            require_same(run, {**self.regions, "simulation": settings.simulation})
        most, batch = settings.reference_background, self.config.batch
        return sideband_weights.reference_weights(run, events, most, batch)

    def recorded(self, events: Dijets, run: Path) -> tuple[np.ndarray, dict]:
        """`recorded_events` (N,) bool for a training in `run`, and what the run records of them.

        The sidebands have signal in the proportion of the largest --signal; a run that exists keeps
        its own, so that further cells can be added to a search.
        """
        settings = self.settings
        signal: int | None = max(settings.signals)
        if (run / "config.json").is_file() and not self.config.overwrite:
            signal = read_config(run / "config.json")[1].get("sideband_signal")
        search = SearchConfig(
            self.kind, signal or 0, settings.data_background, settings.reference_background
        )
        recorded = recorded_events(events, search, settings.density_seed)
        return recorded, {"sideband_signal": signal, **self.regions}


def quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles (n,) of a sample at these levels (n,) in [0, 1]."""
    return np.asarray(np.quantile(values, levels))
