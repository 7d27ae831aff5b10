"""Initial codes: k-means centres of the latents of an untrained encoder for real jets."""

from contextlib import closing
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from omnilearn.data.pipeline import Pipeline
from omnilearn.errors import UserError
from omnilearn.tokens.objectives import TokeniserObjective, prepared_batch
from omnilearn.training import distributed
from omnilearn.training.resume import LAST, PREVIOUS

LATENTS_PER_CODE = 20
ROUNDS = 10  # passes of k-means over the latents


def start_codebook(objective: TokeniserObjective, training: Pipeline, run: Path) -> None:
    """Set the codes to k-means centres of rank 0's first jets, unless the run is resumed.

    The training broadcasts them from rank 0. Raises UserError on every rank when there are fewer
    constituents than codes.
    """
    codes, missing = objective.model.config.num_codes, 0
    if distributed.rank() == 0 and not any((run / name).is_file() for name in (LAST, PREVIOUS)):
        parts, count = [], 0
        with closing(training.epoch(0)) as batches:
            for batch in batches:
                parts.append(objective.latents(prepared_batch(batch, 1.0)))
                count += len(parts[-1])
                if count >= LATENTS_PER_CODE * codes:
                    break
        if count >= codes:
            centres = MiniBatchKMeans(
                codes, max_iter=ROUNDS, batch_size=4096, n_init=1, random_state=objective.seed
            )
            centres.fit(np.concatenate(parts))
            objective.model.codebook.codes.assign(centres.cluster_centers_.astype("float32"))
        else:
            missing = codes - count
    missing = int(distributed.broadcast(missing))
    if missing:
        raise UserError(
            f"{training.spec.name}: {codes - missing} constituents for {codes} codes; train the "
            "tokeniser on more jets, or one with --preset small"
        )
