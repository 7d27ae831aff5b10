"""Jets per second of sampling: jet kinematics, constituents by diffusion, jets by a jet GPT.

    python -m benchmarks sampling [--size full] [--batch 256] [--rounds 3] [--out FILE]

The models are untrained, since the time of a step does not depend on weights: jets of JetNet with
all 30 or 150 slots, and sentences of 128 tokens unless a jet stops before. The solver is the
default of evaluate.py. The first batch, in which graphs are traced, is timed separately; each rate
is the median of --rounds batches, printed and written at once.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.programs import RESULTS, command_parser, write_json
from benchmarks.throughput import seconds_of
from omnilearn.data.catalogue import ASPEN, JETNET30, JETNET150
from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.sampling import Sampler, Solver
from omnilearn.model.checkpoint import load_checkpoint, model_weights, save_checkpoint
from omnilearn.model.pet import PET, PETConfig
from omnilearn.recipes import ARCHITECTURES, Settings
from omnilearn.tokens.jet_gpt import OmniJetConfig
from omnilearn.tokens.sampling import TokenSampler, TokenSettings
from omnilearn.tokens.token_models import fresh_omnijet, fresh_tokeniser
from omnilearn.training import distributed
from omnilearn.training.gradients import gpu_name
from omnilearn.training.resume import Position


def write_model(path: Path, model) -> None:
    """A checkpoint of an untrained model."""
    path.parent.mkdir(exist_ok=True)
    weights = {name: np.asarray(value) for name, value in model_weights(model).items()}
    record = {"position": Position().as_json()}
    save_checkpoint(path, model.config, weights, record)


def diffusion(spec: DatasetSpec, size: str, batch: int, run: Path) -> Sampler:
    """The sampler of an untrained generator of these jets."""
    shape: Settings = {"num_classes": spec.num_classes, "max_constituents": spec.max_constituents}
    write_model(run / "best.h5", PET(PETConfig(**ARCHITECTURES[size], **shape)))
    write_model(run / "jets" / "best.h5", JetGenerator(JetGeneratorConfig(**shape)))
    return Sampler(run, spec, Solver(), batch)


def tokens(size: str, batch: int, run: Path) -> TokenSampler:
    """The sampler of an untrained tokeniser and GPT."""
    write_model(run / "best.h5", fresh_omnijet(fresh_tokeniser(ASPEN, size, 0), size, 0))
    checkpoint = load_checkpoint(run / "best.h5", OmniJetConfig)
    return TokenSampler(checkpoint, ASPEN, TokenSettings(), batch, seed=0)


def cases(size: str, batch: int, folder: Path) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """What is sampled, its slots, and a function that samples one batch."""
    index, label = np.arange(batch), np.zeros(batch, int)
    for spec in (JETNET30, JETNET150):
        sampler, slots = diffusion(spec, size, batch, folder / spec.name), spec.max_constituents
        solver = sampler.solver
        if spec is JETNET30:
            kinematics = partial(sampler.jets, index, label)
            yield f"jet kinematics, {solver.jet_steps} steps", 1, kinematics
        jets = np.tile([1000.0, 0.0, 100.0, slots], (batch, 1))  # pT and mass in GeV
        constituents = partial(sampler.constituents, index, label, jets)
        yield f"constituents by diffusion, {solver.steps} steps", slots, constituents
    gpt = tokens(size, batch, folder / "tokens")
    yield "jets by the jet GPT", gpt.slots, partial(gpt.jet_set, index, label)


def measured(sample: Callable[[], object], batch: int, rounds: int) -> dict[str, float]:
    """Seconds of the first batch, and jets per second of the later ones."""
    first = seconds_of(sample)
    seconds = float(np.median([seconds_of(sample) for _ in range(rounds)]))
    return {"first_seconds": first, "jets_per_second": batch / seconds}


def main(arguments: list[str]) -> None:
    parser = command_parser("sampling", __doc__)
    parser.add_argument("--size", choices=tuple(ARCHITECTURES), default="full")
    parser.add_argument("--batch", type=int, default=256, help="jets sampled together")
    parser.add_argument("--rounds", type=int, default=3, help="batches after the first")
    parser.add_argument("--out", type=Path, default=RESULTS / "sampling.json")
    flags = parser.parse_args(arguments)
    distributed.horovod()
    result = {"device": gpu_name() or "cpu", "size": flags.size, "batch": flags.batch, "rows": []}
    print(f"device: {result['device']}", flush=True)
    with TemporaryDirectory() as folder:
        for name, slots, sample in cases(flags.size, flags.batch, Path(folder)):
            rate = measured(sample, flags.batch, flags.rounds)
            result["rows"].append({"name": name, "slots": slots, **rate})
            print(
                f"{name}, {slots} slots: {rate['jets_per_second']:.1f} jets/s, first batch after "
                f"{rate['first_seconds']:.1f} s",
                flush=True,
            )
            write_json(flags.out, result)
