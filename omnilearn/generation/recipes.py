"""Settings of the network of jet kinematics; data, not code."""

from omnilearn.recipes import Settings

# the network of jet kinematics, trained after the constituents in the same run: what differs from
# the settings of that run; unmeasured
JET_NETWORK: dict[str, Settings] = {
    "full": {"body_factor": 1.0},
    "small": {"epochs": 60, "batch": 128, "lr": 1e-3, "patience": 60, "body_factor": 1.0},
}
