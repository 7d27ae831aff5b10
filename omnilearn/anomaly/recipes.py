"""Settings of the search for a resonance beyond those of its classifier; data, not code."""

from omnilearn.recipes import Settings

# finetune.py lhco: events of the signal region, in training and validation together
ANOMALY: dict[str, Settings] = {
    "full": {"data_background": 100_000, "reference_background": 350_000},
    "small": {"data_background": 1500, "reference_background": 1500, "sideband_events": 6000},
}

# finetune.py lhco --stage density: PET's generator in the sidebands, with the settings of the
# released script; the network of kinematics differs as in JET_NETWORK; unmeasured
DENSITY: dict[str, Settings] = {
    "full": {
        "epochs": 99,
        "batch": 128,
        "lr": 3e-5,
        "body_factor": 2.0,
        "weight_decay": 1e-5,
        "warmup_epochs": 10,
        "patience": 40,
        "clip_norm": 1.0,
        "beta2": 0.97,
        "mode": "generator",
    },
    "small": {
        "epochs": 3,
        "batch": 32,
        "lr": 3e-4,
        "body_factor": 2.0,
        "weight_decay": 1e-5,
        "warmup_epochs": 1,
        "patience": 3,
        "mode": "generator",
        "train_jets": 16_000,
    },
}
