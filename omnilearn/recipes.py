"""Dataset -> configuration of its training, from the papers; data, not code.

Hyper-parameters: arXiv:2502.14652, Section II.5, and the released command lines. `small` fits two
cores.
"""

from typing import Any

from omnilearn.errors import UserError

Settings = dict[str, Any]
Recipes = dict[tuple[str, str], Settings]  # by dataset and preset

# sizes of PET by preset; everything else of the architecture is the released model
ARCHITECTURES: dict[str, Settings] = {"full": {}, "small": {"projection_dim": 64, "num_layers": 4}}

ANY = "any other dataset"  # one of your own among them

SMALL_PRETRAINING = {"epochs": 10, "batch": 32, "lr": 3e-4, "warmup_epochs": 1, "patience": 10}
SMALL_GENERATOR = {**SMALL_PRETRAINING, "mode": "generator"}
JETNET = {
    "epochs": 300,
    "batch": 128,
    "weight_decay": 0.0,
    "patience": 200,
    "clip_norm": 1.0,
    "mode": "generator",
}
# a million jets, rate and batch as searched for with jetnet30 (benchmarks/results/generation)
SMALL_JETNET = {**SMALL_GENERATOR, "epochs": 40, "batch": 64, "lr": 2e-4, "patience": 40}

# train.py; jets of omnifold (detector level) and of lhco (both of an event) are taken one by one
PRETRAINING: Recipes = {
    # python train.py jetclass
    # 128 GPUs, 256 jets each, 200 epochs of a fifth of JetClass in the paper; unmeasured here
    ("jetclass", "full"): {
        "epochs": 200,
        "jets_per_epoch": 20_000_000,
        "batch": 256,
        "patience": 30,
    },
    # horovodrun -np 2 --gloo python train.py jetclass --preset small
    # make demo, benchmarks/results/demo: 15 000 simulated jets on two cores
    ("jetclass", "small"): SMALL_PRETRAINING,
    # python train.py aspen
    # collider data have no classes: only the generator learns; unmeasured
    ("aspen", "full"): {"epochs": 10, "batch": 256, "patience": 3, "mode": "generator"},
    ("aspen", "small"): SMALL_GENERATOR,
    # python train.py jetnet30
    # settings of the released command line, which trains 300 epochs; unmeasured
    ("jetnet30", "full"): JETNET,
    ("jetnet150", "full"): JETNET,
    ("jetnet30", "small"): SMALL_JETNET,
    ("jetnet150", "small"): SMALL_JETNET,
    # python train.py NAME: all heads, as on JetClass; unmeasured
    (ANY, "full"): {"epochs": 200, "batch": 256, "patience": 30},
    (ANY, "small"): SMALL_PRETRAINING,
}

# two cores, whatever the tagging task; rates as searched for with top
SMALL_TAGGING = {
    "epochs": 8,
    "batch": 32,
    "lr": 3e-4,
    "body_factor": 10.0,
    "weight_decay": 0.1,
    "patience": 8,
    "warmup_epochs": 1,
    "mode": "classifier",
}

FINETUNING: Recipes = {
    # python finetune.py top --backbone runs/jetclass
    # 10 epochs on 1.2 million jets in the paper; unmeasured here
    ("top", "full"): {
        "epochs": 10,
        "batch": 256,
        "lr": 3e-5,
        "body_factor": 10.0,
        "weight_decay": 0.1,
        "patience": 3,
        "mode": "classifier",
    },
    # python finetune.py top --preset small --backbone runs/jetclass
    # make demo: rates chosen by validation loss, benchmarks/results/demo/rates.md
    ("top", "small"): SMALL_TAGGING,
    ("cms", "small"): {**SMALL_TAGGING, "weighted": False},
    # python finetune.py qg --backbone runs/jetclass, and so on: the released command lines,
    # warm-up of 3 epochs unless said; unmeasured here. CMS: weights are cross sections over five
    # orders of magnitude, which the published numbers ignore; `--weighted` takes them
    ("qg", "full"): {
        "epochs": 20,
        "batch": 256,
        "lr": 3e-5,
        "body_factor": 10.0,
        "weight_decay": 0.1,
        "patience": 3,
        "mode": "classifier",
    },
    ("cms", "full"): {
        "epochs": 40,
        "batch": 256,
        "lr": 3e-5,
        "body_factor": 10.0,
        "weight_decay": 1e-4,
        "patience": 3,
        "mode": "classifier",
        "weighted": False,
    },
    ("atlas", "full"): {
        "epochs": 40,
        "batch": 256,
        "lr": 3e-5,
        "body_factor": 5.0,
        "weight_decay": 1e-4,
        "patience": 5,
        "warmup_epochs": 1,
        "mode": "classifier",
    },
    ("h1", "full"): {
        "epochs": 10,
        "batch": 256,
        "lr": 3e-5,
        "body_factor": 2.0,
        "weight_decay": 1e-5,
        "patience": 3,
        "mode": "classifier",
    },
    # python finetune.py omnifold --backbone runs/jetclass: each step; the cross-entropy alone, and
    # identities are never hidden, as a ratio is wanted for what is seen; unmeasured
    ("omnifold", "full"): {
        "epochs": 20,
        "batch": 512,
        "lr": 3e-5,
        "body_factor": 5.0,
        "weight_decay": 0.1,
        "patience": 3,
        "mode": "classifier",
        "feature_drop": 0.0,
        "regression_weight": 0.0,
    },
    # longer than the four epochs behind benchmarks/results/unfolding, which were too few
    ("omnifold", "small"): {
        "epochs": 12,
        "batch": 64,
        "lr": 3e-4,
        "body_factor": 5.0,
        "weight_decay": 0.1,
        "patience": 4,
        "warmup_epochs": 1,
        "mode": "classifier",
        "feature_drop": 0.0,
        "regression_weight": 0.0,
    },
    # python finetune.py lhco --idealised --signal 500 --backbone runs/jetclass: the classifier on
    # 450 000 events, with the settings of the released script; unmeasured
    ("lhco", "full"): {
        "epochs": 10,
        "batch": 128,
        "lr": 3e-5,
        "body_factor": 10.0,
        "weight_decay": 0.0,
        "patience": 10,
        "clip_norm": 1.0,
        "mode": "classifier",
    },
    ("lhco", "small"): {
        "epochs": 6,
        "batch": 32,
        "lr": 3e-4,
        "body_factor": 10.0,
        "weight_decay": 1e-5,
        "patience": 6,
        "warmup_epochs": 1,
        "mode": "classifier",
    },
    # without classes, or asked for new jets rather than for their class
    **{
        key: settings
        for key, settings in PRETRAINING.items()
        if settings.get("mode") == "generator"
    },
    # python finetune.py NAME --backbone runs/jetclass: tagging with the settings of top; unmeasured
    (ANY, "full"): {
        "epochs": 10,
        "batch": 256,
        "lr": 3e-5,
        "body_factor": 10.0,
        "weight_decay": 0.1,
        "patience": 3,
        "mode": "classifier",
    },
    (ANY, "small"): SMALL_TAGGING,
}

# PET from scratch, same budget: nothing to protect in the body, so it learns at the heads' rate;
# the small rate was searched for like the fine-tuned one, that of JetNet with SMALL_JETNET
SCRATCH: Recipes = {
    (ANY, "full"): {"body_factor": 1.0},
    (ANY, "small"): {"body_factor": 1.0, "lr": 6e-4},
    ("jetnet30", "small"): {"body_factor": 1.0},
    ("jetnet150", "small"): {"body_factor": 1.0},
}


# --- token models (--model omnijet), arXiv:2403.05618 and arXiv:2412.10504

# sizes by preset; everything else of the architecture is the published one
TOKEN_ARCHITECTURES: dict[str, dict[str, Settings]] = {
    "full": {"tokeniser": {}, "gpt": {}},
    "small": {
        "tokeniser": {"dim": 64, "num_blocks": 2, "num_codes": 512},
        "gpt": {"dim": 96, "num_heads": 6},
    },
}

# the tokeniser, trained before the GPT in the same run: what differs from the settings of that run
TOKENISER: dict[str, Settings] = {
    "full": {
        "epochs": 2,
        "batch": 512,
        "lr": 1e-3,
        "weight_decay": 1e-2,
        "warmup_epochs": 0,
        "optimiser": "adamw",
        "decay": True,
        "patience": 100,
    },
    "small": {
        "epochs": 3,
        "batch": 64,
        "lr": 2e-3,
        "weight_decay": 1e-2,
        "warmup_epochs": 0,
        "optimiser": "adamw",
        "decay": True,
        "patience": 100,
    },
}

GPT: Settings = {
    "model": "omnijet",
    "mode": "generator",
    "optimiser": "adamw",
    "decay": False,
    "lr": 1e-3,
    "weight_decay": 1e-2,
    "warmup_epochs": 0,
    "clip_norm": 5.0,
    "weighted": False,
}
TOKEN_PRETRAINING: Recipes = {
    # python train.py aspen --model omnijet
    # 900 000 steps of 12 GPUs with 256 jets each in the paper: 16 passes; unmeasured here
    (ANY, "full"): {**GPT, "epochs": 16, "batch": 256, "patience": 20},
    (ANY, "small"): {**GPT, "epochs": 5, "batch": 64, "patience": 5},
}
TOKEN_FINETUNING: Recipes = {
    # python finetune.py jetclass --model omnijet --backbone runs/aspen_omnijet --classes QCD
    # 256 jets per GPU, patience 10, the best validation loss in the paper; unmeasured here
    (ANY, "full"): {**GPT, "epochs": 1000, "batch": 256, "patience": 10},
    # the rate as searched for with 100 and 1000 jets of QCD, with the blocks before the published
    # ones: at 1e-3 the first epoch is the best
    (ANY, "small"): {**GPT, "epochs": 40, "batch": 50, "lr": 3e-4, "patience": 10},
}
# without --backbone: a fresh GPT, which has to learn everything
TOKEN_SCRATCH: Recipes = {(ANY, "full"): {}, (ANY, "small"): {"lr": GPT["lr"]}}
TOKEN_TAGGING: Recipes = {
    # python finetune.py top --model omnijet --backbone runs/aspen_omnijet
    # rate and batch of the published transfer to classification; unmeasured here
    (ANY, "full"): {
        **GPT,
        "mode": "classifier",
        "epochs": 100,
        "batch": 512,
        "lr": 1e-4,
        "patience": 10,
    },
    (ANY, "small"): {
        **GPT,
        "mode": "classifier",
        "epochs": 8,
        "batch": 32,
        "lr": 5e-4,
        "patience": 8,
    },
}

# the network of jet kinematics, trained after the constituents in the same run: what differs from
# the settings of that run; unmeasured
JET_NETWORK: dict[str, Settings] = {
    "full": {"body_factor": 1.0},
    "small": {"epochs": 60, "batch": 128, "lr": 1e-3, "patience": 60, "body_factor": 1.0},
}

# finetune.py omnifold: the algorithm; a rate from the second iteration on as in the released code
UNFOLDING: dict[str, Settings] = {
    "full": {"iterations": 5, "folds": 5, "later_epochs": 20, "later_lr": 1e-6},
    "small": {"iterations": 3, "folds": 2, "later_epochs": 3, "later_lr": 1e-4},
}
# --classifier: what differs. DeepSets is ten times faster; at the rate of PET from scratch it
# diverges (16 000 events, benchmarks/results/unfolding). Trees: lr is their shrinkage, epochs the
# largest number of them, weight_decay the L2 penalty of a leaf
TREES: Settings = {"epochs": 500, "lr": 0.05, "patience": 20, "weight_decay": 1.0}
CLASSIFIERS: dict[str, dict[str, Settings]] = {
    "deepsets": {"full": {}, "small": {"epochs": 16, "patience": 16, "lr": 1e-4}},
    "trees": {"full": TREES, "small": TREES},
}
CLASSIFIERS_UNFOLDING: dict[str, dict[str, Settings]] = {
    "deepsets": {"full": {}, "small": {"later_epochs": 8, "later_lr": 5e-5}},
    "trees": {"full": {}, "small": {}},
}

# finetune.py lhco: events of the signal region, in training and validation together
ANOMALY: dict[str, Settings] = {
    "full": {"data_background": 100_000, "reference_background": 350_000},
    "small": {"data_background": 1500, "reference_background": 1500},
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

# the classifier that tests an unfolding against the truth, a DeepSets from scratch
TWO_SAMPLES: Settings = {
    "epochs": 5,
    "batch": 128,
    "lr": 3e-4,
    "body_factor": 1.0,
    "weight_decay": 0.1,
    "patience": 2,
    "warmup_epochs": 1,
    "mode": "classifier",
    "feature_drop": 0.0,
    "regression_weight": 0.0,
}


def recipe(table: Recipes, dataset: str, preset: str) -> Settings:
    """The settings of a dataset, else those of ANY; raises UserError when there are none."""
    key = next((key for key in ((dataset, preset), (ANY, preset)) if key in table), None)
    if key is None:
        known = ", ".join(f"{name} ({size})" for name, size in table)
        raise UserError(
            f"no recipe for dataset {dataset!r} with preset {preset!r}; there is {known}"
        )
    return {"preset": preset, **table[key]}
