"""The terms of PET's training objective, each a number per jet (arXiv:2502.14652, Eq. 1).

With clean inputs, and inputs perturbed at time t: cross-entropy, regression of the jet inputs,
and the velocity of the diffused features; the perturbed terms weigh alpha^2(t) jet by jet.
"""

from keras import ops


def cross_entropy(label, logits):
    """label (B, C) one-hot, logits (B, C) -> (B,)."""
    return -ops.sum(label * ops.log_softmax(logits, axis=-1), axis=-1)


def is_right(label, logits):
    """1 where the largest logit is that of the class, else 0: label, logits (B, C) -> (B,)."""
    return ops.cast(ops.equal(ops.argmax(logits, axis=-1), ops.argmax(label, axis=-1)), "float32")


def regression_error(jet, predicted):
    """Mean squared error over the jet inputs, (B, J) and (B, J) -> (B,)."""
    return ops.mean(ops.square(jet - predicted), axis=-1)


def velocity_error(target, predicted, mask):
    """Squared error over diffused features and real slots, (B, L, F), mask (B, L) -> (B,).

    A sum, not a mean: the objective divides by the number of real constituents of the whole batch.
    """
    squared = ops.sum(ops.square(target - predicted), axis=-1)
    return ops.sum(squared * mask, axis=-1)


def weighted_mean(values, weight):
    """Sum of weight * values over jets, per jet of the batch; the mean weight of a sample is 1."""
    return ops.mean(values * weight)
