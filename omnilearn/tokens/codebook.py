"""Where the codes begin: at the centres of the latents that a fresh encoder makes of real jets."""

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
    """Put the codes at k-means centres of rank 0's first jets, unless the training has begun.

    Ranks get them from rank 0 as training begins. Raises UserError on every rank when there are
    fewer constituents than codes.
    """
    codes, found = objective.model.config.num_codes, 0
    if distributed.rank() == 0 and not any((run / name).is_file() for name in (LAST, PREVIOUS)):
        parts = []
        with closing(training.epoch(0)) as batches:
            for batch in batches:
                parts.append(objective.latents(prepared_batch(batch, 1.0)))
                found += len(parts[-1])
                if found >= LATENTS_PER_CODE * codes:
                    break
        if found >= codes:
            centres = MiniBatchKMeans(
                codes, max_iter=ROUNDS, batch_size=4096, n_init=1, random_state=objective.seed
            )
            centres.fit(np.concatenate(parts))
            objective.model.codebook.codes.assign(centres.cluster_centers_.astype("float32"))
        else:
            found = -found
    found = int(distributed.agreed(found))
    if found < 0:
        raise UserError(
            f"{training.spec.name}: {-found} constituents for {codes} codes; train the tokeniser "
            "on more jets, or one with --preset small"
        )
