"""Lion and AdamW with a rate per variable, schedules with warm-up, averages of the weights.

arXiv:2302.06675 (Lion), arXiv:1711.05101 (AdamW). The learning rate of a pre-trained body is that
of the heads divided by a factor, and its weight decay is multiplied by it, so that rate times decay
is equal: one optimiser gives the update of the two of the released code.
"""

import keras
import numpy as np
from keras import ops

from omnilearn.config import Config
from omnilearn.errors import UserError

EMA_MOMENTUM = 0.999
KEY_BIAS = "attention.key.bias"


def without_key_biases(weights: dict[str, keras.Variable]) -> dict[str, keras.Variable]:
    """The weights by name, without key biases of attention.

    The softmax over keys does not depend on these: Lion would use the sign of rounding noise.
    """
    return {name: weight for name, weight in weights.items() if not name.endswith(KEY_BIAS)}


class AveragedOptimiser(keras.optimizers.Optimizer):
    """Mixin for Keras optimisers with a rate factor per variable and access to the averages.

    Keras applies weight decay as rate * decay, without the factor.
    """

    def __init__(self, rate_factors: dict[int, float] | None = None, **kwargs):
        """rate_factors: id of a Keras variable -> factor; one where absent."""
        super().__init__(**kwargs)
        self.rate_factors = rate_factors or {}

    def build(self, variables):
        super().build(variables)
        self.factors = [self.rate_factors.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        factor = self.factors[self._get_variable_index(variable)]
        return super().update_step(gradient, variable, learning_rate * factor)

    def averages(self) -> list[np.ndarray]:
        """Exponential moving averages of the variables, in their order."""
        return [np.asarray(average) for average in self._model_variables_moving_average]


class AdamW(AveragedOptimiser, keras.optimizers.AdamW):
    """Keras' AdamW with a factor on the rate of some variables."""


class Lion(AveragedOptimiser, keras.optimizers.Lion):
    """Keras' Lion with a factor on the rate of some variables."""


def make_optimiser(
    name: str,
    rate_factors: dict[int, float],
    schedule,
    weight_decay: float,
    clip_norm: float = 0.0,
    beta2: float = 0.0,
) -> AveragedOptimiser:
    """Lion with the momenta of the released PET, or AdamW with those of the jet GPT.

    clip_norm: norm to which gradients, averaged over all ranks, are scaled down: each weight
    array's with Lion (as released), of all together with AdamW (arXiv:2403.05618); 0: no clipping.
    beta2: the second momentum constant; 0: 0.99 for Lion, 0.999 for AdamW.
    """
    common = {
        "learning_rate": schedule,
        "weight_decay": weight_decay,
        "use_ema": True,
        "ema_momentum": EMA_MOMENTUM,
    }
    norm = clip_norm or None
    if name == "adamw":
        return AdamW(rate_factors, beta_2=beta2 or 0.999, global_clipnorm=norm, **common)
    return Lion(rate_factors, beta_1=0.95, beta_2=beta2 or 0.99, clipnorm=norm, **common)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from lr to lr sqrt(batches) over the warm-up, then constant."""

    def __init__(self, learning_rate: float, batches: int, warmup_steps: int):
        self.first, self.last = learning_rate, learning_rate * batches**0.5
        self.steps = warmup_steps

    def __call__(self, step):
        progress = ops.minimum(ops.cast(step, "float32") / max(1, self.steps), 1.0)
        return self.first + (self.last - self.first) * (progress if self.steps else 1.0)


def cosine_schedule(
    learning_rate: float, batches: int, steps_per_epoch: int, epochs: int, warmup_epochs: int
) -> keras.optimizers.schedules.CosineDecay:
    """From lr to lr sqrt(batches) over the warm-up, then a cosine to zero over `epochs` more.

    batches: of one step on all ranks, accumulated ones included. As released, the decay is as long
    as the training, so that after a warm-up the rate ends above zero.
    """
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate,
        warmup_target=learning_rate * batches**0.5,
        warmup_steps=warmup_epochs * steps_per_epoch,
        decay_steps=epochs * steps_per_epoch,
    )


def optimiser_of(config: Config, weights: dict, steps_per_epoch: int, ranks: int):
    """The optimiser of a training.

    weights: the trained weights by name; steps_per_epoch: steps of the optimiser.
    """
    factors = {
        id(variable): 1.0 / config.body_factor
        for name, variable in weights.items()
        if name.startswith("body.")
    }
    batches, warmup = config.accumulate * ranks, config.warmup_epochs
    if config.decay:
        schedule = cosine_schedule(config.lr, batches, steps_per_epoch, config.epochs, warmup)
    else:
        schedule = WarmUp(config.lr, batches, warmup * steps_per_epoch)
    return make_optimiser(
        config.optimiser, factors, schedule, config.weight_decay, config.clip_norm, config.beta2
    )


def optimiser_steps(batches: int, accumulate: int) -> int:
    """Steps of the optimiser in an epoch of so many batches per rank; remaining batches are unused.

    Raises UserError when there is no step.
    """
    if batches < accumulate:
        raise UserError(
            f"--accumulate is {accumulate}, but an epoch has {batches} batches per rank; the most "
            f"that works is {batches}"
        )
    return batches // accumulate
