"""PET for events of several jets: one body for each jet, one classifier head for all of them.

arXiv:2502.14652, Section VIII: the body takes each jet separately, so that constituents of
different jets do not interact there; an embedding of that jet's kinematics scales and shifts the
output; the head then takes the constituents of all jets of the event as those of one jet.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import ops

from omnilearn.model.pet import PET, PETConfig


@dataclass(frozen=True)
class DijetConfig(PETConfig):
    """The architecture of the PET that body and classifier head are taken from."""

    kind: ClassVar = "dijet_classifier"


class DijetClassifier(keras.Model):
    """Body and classifier head of a PET, with its weights under their names.

    Arrays: features (B, L, N, F), mask (B, L, N), jet (B, N, J) of the N jets of an event, L as for
    PET. Neither the order of the constituents nor that of the jets changes the logits.
    """

    def __init__(self, pet: PET, name: str = "dijet"):
        super().__init__(name=name)
        self.config, self.pet = DijetConfig(**vars(pet.config)), pet
        self.body, self.classifier = pet.body, pet.classifier
        self.built = True

    def classify(self, features, mask, jet):
        """Logits (B, C) of the events."""
        jets = jet.shape[1]
        features, slots = self.pet.slots(jet_by_jet(features), jet_by_jet(mask))
        jet = ops.reshape(jet, (-1, self.config.num_jet))
        constituents = self.classifier.conditioned(self.body(features, slots=slots), jet)
        dim = self.config.projection_dim
        constituents = ops.reshape(constituents, (-1, jets * ops.shape(constituents)[1], dim))
        return self.classifier.pooled(constituents, slots.together(jets))[0]

    def call(self, batch):
        """Logits of a batch of the pipeline."""
        return self.classify(batch["constituents"], batch["mask"], batch["jet"])

    def parts(self) -> dict[str, keras.layers.Layer]:
        return {"body": self.body, "classifier": self.classifier}


def jet_by_jet(array):
    """(B, L, N, ...) -> (B N, L, ...), the jets of an event in sequence."""
    swapped = ops.swapaxes(array, 1, 2)
    return ops.reshape(swapped, (-1, *ops.shape(swapped)[2:]))
