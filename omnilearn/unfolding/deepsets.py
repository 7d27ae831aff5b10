"""DeepSets: a network per constituent, a sum over constituents, a network of the sum.

M. Zaheer et al., arXiv:1703.06114; for jets P. Komiske et al., arXiv:1810.05165. The classifier
of the OmniFold paper, with the interface of PET's classification.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import keras
from keras import ops

from omnilearn.data.spec import FEATURES, JET_FEATURES
from omnilearn.model.layers import dense, gelu
from omnilearn.model.precision import applied, restored


@dataclass(frozen=True)
class DeepSetsConfig:
    """The architecture, as stored in every checkpoint; sizes as in arXiv:1911.09107."""

    kind: ClassVar = "deepsets"
    widths: tuple[int, ...] = (100, 100, 256)  # per constituent
    classifier_widths: tuple[int, ...] = (100, 100, 100)
    num_classes: int = 2
    num_features: int = len(FEATURES)
    num_jet: int = len(JET_FEATURES)
    max_constituents: int = 150

    def __post_init__(self):  # JSON stores tuples as lists
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "classifier_widths", tuple(self.classifier_widths))


class Stack(keras.layers.Layer):
    """Dense layers, each with a gelu, on the last axis."""

    def __init__(self, inputs: int, widths: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        sizes = pairwise((inputs, *widths))
        self.layers = [dense(*size, f"dense{i}") for i, size in enumerate(sizes)]
        self.built = True

    def call(self, x):
        """(..., inputs) -> (..., last width)."""
        for layer in self.layers:
            x = gelu(applied(layer, x))
        return restored(x)


class DeepSetsHead(keras.layers.Layer):
    """Logits of the classes and regression of the jet inputs, from the sum and the jet."""

    def __init__(self, config: DeepSetsConfig, **kwargs):
        super().__init__(**kwargs)
        widths = config.classifier_widths
        self.hidden = Stack(config.widths[-1] + config.num_jet, widths, name="hidden")
        self.logits = dense(widths[-1], config.num_classes, "logits")
        self.regression = dense(widths[-1], config.num_jet, "regression")
        self.built = True

    def call(self, summed, jet):
        """summed (B, D), jet (B, J) -> logits (B, C), regression (B, J)."""
        hidden = self.hidden(ops.concatenate([summed, jet], axis=-1))
        return self.logits(hidden), self.regression(hidden)


class DeepSets(keras.Model):
    """Arrays: features (B, L, F), mask (B, L), jet (B, J); any number of slots."""

    def __init__(self, config: DeepSetsConfig, name: str = "deepsets"):
        super().__init__(name=name)
        self.config = config
        self.body = Stack(config.num_features, config.widths, name="body")
        self.classifier = DeepSetsHead(config, name="classifier")
        self.built = True

    def classify(self, features, mask, jet):
        """logits (B, C) and regression of the jet inputs (B, J)."""
        mask = ops.cast(mask, "float32")[:, :, None]
        # divided by 10, which keeps the sum at the size of its terms
        summed = ops.sum(self.body(features * mask) * mask, axis=1) / 10.0
        return self.classifier(summed, jet=jet)

    def call(self, batch):
        """Logits of a batch of the pipeline."""
        return self.classify(batch["constituents"], batch["mask"], batch["jet"])[0]

    def parts(self) -> dict[str, keras.layers.Layer]:
        return {"body": self.body, "classifier": self.classifier}
