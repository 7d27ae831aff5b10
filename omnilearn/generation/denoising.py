"""The velocity loss of a generator head over a split, each jet once."""

import numpy as np

from omnilearn.data.pipeline import Pipeline, pad_batch
from omnilearn.data.streams import JetStreams
from omnilearn.model.pet import PET
from omnilearn.progress import progress
from omnilearn.statistics.results import Result
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.objective import PETObjective
from omnilearn.training.random_streams import Stream


def denoising_metrics(pet: PET, pipeline: Pipeline, seed: int) -> dict[str, Result]:
    """`velocity`: mean squared error of the velocity per constituent and diffused feature.

    Times and noise are those of validation: each jet has a random stream, so the result does not
    depend on batches or ranks. The uncertainty is statistical, from the spread over jets.
    """
    objective = PETObjective(pet, "generator")
    errors_of = compiled_for_batches(
        lambda batch: objective.perturbed_pass(batch)[0], pet.config.max_constituents
    )
    constituents = pipeline.constituents_per_jet
    rows = {"index": [np.zeros(0, "int64")], "error": [np.zeros(0)], "weight": [np.zeros(0)]}
    total = pipeline.num_jets // distributed.size()
    with progress(total, "evaluating", rank=distributed.rank()) as bar:
        for batch in pipeline.ordered():
            jets = len(batch["mask"])
            streams = JetStreams((seed, Stream.VALIDATION), batch["index"])
            rows["index"].append(batch["index"])
            rows["weight"].append(batch["weight"].astype("float64"))
            prepared = objective.prepare(batch, streams, False, constituents)
            error = np.asarray(errors_of(pad_batch(prepared, pipeline.batch_size)), "float64")
            rows["error"].append(error[:jets])
            bar.update(jets)
    index, error, weight = (
        distributed.allgather(np.concatenate(rows[name])) for name in ("index", "error", "weight")
    )
    order = np.argsort(index, kind="stable")  # the sum is the same on any number of ranks
    error, weight = error[order], weight[order]
    share = weight / weight.sum()
    value = float(np.sum(share * error))
    spread = float(np.sqrt(np.sum(share**2 * (error - value) ** 2)))
    return {"velocity": Result(value, spread, len(error))}
