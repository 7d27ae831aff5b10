"""Settings of the network of jet kinematics, by preset."""

from omnilearn.recipes import Settings

# changes to the settings of the run, which trains this network after PET; unmeasured
JET_NETWORK: dict[str, Settings] = {
    "full": {"body_factor": 1.0},
    "small": {"epochs": 60, "batch": 128, "lr": 1e-3, "patience": 60, "body_factor": 1.0},
}
