"""The small network that generates pT, eta, mass and multiplicity of jets, given their class.

A residual network conditioned on diffusion time and class (arXiv:2304.01266, as used by
arXiv:2502.14652, Section VI); its output equals that of the released one within rounding.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import ops

from omnilearn.data.spec import JET_FEATURES
from omnilearn.model.embedding import TimeEmbedding, scaled_and_shifted
from omnilearn.model.layers import LayerScale, dense, gelu
from omnilearn.model.precision import applied, restored


@dataclass(frozen=True)
class JetGeneratorConfig:
    """The architecture, as stored in every checkpoint; the defaults are the released network."""

    kind: ClassVar = "jet_generator"
    projection_dim: int = 128
    num_layers: int = 3  # an input layer and residual blocks
    num_classes: int = 5
    num_jet: int = len(JET_FEATURES)
    max_constituents: int = 30  # no sampled multiplicity is larger
    layer_scale: float = 1e-5


class ResidualBlock(keras.layers.Layer):
    """The sum of a linear layer and two scaled layers, all of normalised inputs."""

    def __init__(self, units: int, width: int, layer_scale: float, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.norm.build((None, units))
        self.residual = dense(units, width, "residual")
        self.first, self.second = dense(units, width, "first"), dense(width, width, "second")
        self.layer_scale = LayerScale(width, layer_scale, name="layer_scale")
        self.built = True

    def call(self, x):
        """x (B, units) -> (B, width)."""
        x = self.norm(x)
        update = ops.silu(applied(self.second, ops.silu(applied(self.first, x))))
        return self.residual(x) + self.layer_scale(restored(update))


class JetNetwork(keras.layers.Layer):
    """The velocity of jet kinematics, given time and class."""

    def __init__(self, config: JetGeneratorConfig, **kwargs):
        super().__init__(**kwargs)
        dim, width = config.projection_dim, 2 * config.projection_dim
        self.time = TimeEmbedding(dim, name="time")
        self.label, self.film = dense(config.num_classes, dim, "label"), dense(dim, width, "film")
        self.inputs = dense(config.num_jet, dim, "inputs")
        self.blocks = [
            ResidualBlock(width if i else dim, width, config.layer_scale, name=f"block{i}")
            for i in range(config.num_layers - 1)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.velocity = keras.layers.Dense(
            config.num_jet, kernel_initializer="zeros", name="velocity"
        )
        self.norm.build((None, width))
        self.velocity.build((None, width))
        self.built = True

    def call(self, jet, time, label):
        """jet (B, J), time (B, 1), label (B, C) -> (B, J)."""
        film = gelu(self.film(self.time(time) + self.label(label)))
        x = scaled_and_shifted(ops.silu(self.inputs(jet)), film)
        for block in self.blocks:
            x = block(x)
        return self.velocity(self.norm(x))


class JetGenerator(keras.Model):
    """The model of jet kinematics, with the interface of PET for checkpoints and training."""

    def __init__(self, config: JetGeneratorConfig, name: str = "jet_generator"):
        super().__init__(name=name)
        self.config = config
        self.jets = JetNetwork(self.config, name="jets")
        self.built = True

    def call(self, jet, time, label):
        """Velocity (B, J) of standardised, perturbed jets (B, J)."""
        return self.jets(jet, time, label)

    def parts(self) -> dict[str, keras.layers.Layer]:
        return {"jets": self.jets}
