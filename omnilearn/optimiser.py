"""Lion with a rate per variable, gradients averaged over ranks, cosine decay with warm-up, EMA.

arXiv:2302.06675 (Lion). The body of a pre-trained model learns at the head's rate divided by a
factor, and its weight decay is multiplied by it, so rate times decay is the same everywhere: one
optimiser and one backward pass give the update of the released code's two.
"""

import keras
import numpy as np

from omnilearn import distributed

EMA_MOMENTUM = 0.999


class AveragedOptimiser:
    """Mixin for Keras optimisers: averages gradients over ranks, scales the rate per variable.

    Keras applies weight decay as rate * decay without the factor, which is what is wanted.
    """

    rate_factors: dict[int, float]  # id of a Keras variable -> factor; one where absent

    def apply(self, grads, trainable_variables=None):
        return super().apply(distributed.average(list(grads)), trainable_variables)

    def build(self, variables):
        super().build(variables)
        self.factors = [self.rate_factors.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        factor = self.factors[self._get_variable_index(variable)]
        return super().update_step(gradient, variable, learning_rate * factor)

    def averages(self) -> list[np.ndarray]:
        """Exponential moving averages of the variables, in their order."""
        return [np.asarray(average) for average in self._model_variables_moving_average]


class Lion(AveragedOptimiser, keras.optimizers.Lion):
    """Keras' Lion over ranks, with a factor on the rate of some variables."""

    def __init__(self, rate_factors: dict[int, float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.rate_factors = rate_factors or {}


def cosine_schedule(
    learning_rate: float, batches: int, steps_per_epoch: int, epochs: int, warmup_epochs: int
) -> keras.optimizers.schedules.CosineDecay:
    """From lr to lr sqrt(batches) over the warm-up, then a cosine to zero over `epochs` more.

    `batches` make one step: one per rank, as released, times those a rank accumulates. As released,
    the decay is as long as the training, so with the warm-up it ends above zero.
    """
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate,
        warmup_target=learning_rate * batches**0.5,
        warmup_steps=warmup_epochs * steps_per_epoch,
        decay_steps=epochs * steps_per_epoch,
    )
