"""The terms of PET's training objective, one number per jet (arXiv:2502.14652, Eq. 1).

Cross-entropy and regression of the jet inputs, for clean and for perturbed inputs, and the velocity
of the diffused features; the perturbed terms of a jet are weighted by its alpha^2(t).
"""

from keras import ops


def cross_entropy(label, logits):
    """label (B, C) one-hot, logits (B, C) -> (B,)."""
    return -ops.sum(label * ops.log_softmax(logits, axis=-1), axis=-1)


def is_correct(label, logits):
    """1 where the largest logit is that of the class, else 0: label, logits (B, C) -> (B,)."""
    return ops.cast(ops.equal(ops.argmax(logits, axis=-1), ops.argmax(label, axis=-1)), "float32")


def regression_error(jet, predicted):
    """Mean squared error over the jet inputs, (B, J) and (B, J) -> (B,)."""
    return ops.mean(ops.square(jet - predicted), axis=-1)


def velocity_error(target, predicted, mask):
    """Squared error over diffused features and real slots, (B, L, F), mask (B, L) -> (B,).

    A sum over slots; the objective divides it by the mean number of constituents.
    """
    squared = ops.sum(ops.square(target - predicted), axis=-1)
    return ops.sum(squared * mask, axis=-1)


def classification_terms(label, logits, weight) -> dict:
    """Terms of a classifier alone: label, logits (B, C), weight (B,) -> scalars by name."""
    loss = weighted_mean(cross_entropy(label, logits), weight)
    accuracy = weighted_mean(is_correct(label, logits), weight)
    return {"loss": loss, "cross_entropy": loss, "accuracy": accuracy}


def weighted_mean(values, weight):
    """Mean of weight * values over the jets of a batch; the weights of a sample have mean 1."""
    return ops.mean(values * weight)
