"""Dataset -> configuration of its training, from the papers; data, not code.

Hyper-parameters: arXiv:2502.14652 and the released command lines. `small` fits two cores.
"""

from omnilearn.errors import UserError

# sizes of PET by preset; everything else of the architecture is the released model
ARCHITECTURES = {
    "full": {},
    "small": {"projection_dim": 64, "num_layers": 4},
}

PRETRAINING = {
    # python train.py jetclass
    # 128 GPUs, 256 jets each, 200 passes over a fifth of JetClass in the paper; unmeasured here
    ("jetclass", "full"): {"epochs": 200, "batch": 256, "patience": 30},
    # horovodrun -np 2 --gloo python train.py jetclass --preset small
    # make demo, benchmarks/results/demo: 15 000 simulated jets on two cores
    ("jetclass", "small"): {
        "epochs": 10, "batch": 32, "lr": 3e-4, "warmup_epochs": 1, "patience": 10,
    },
}  # fmt: skip

FINETUNING = {
    # python finetune.py top --backbone runs/jetclass
    # 10 epochs on 1.2 million jets in the paper; unmeasured here
    ("top", "full"): {
        "epochs": 10, "batch": 256, "lr": 3e-5, "body_factor": 10.0, "weight_decay": 0.1,
        "patience": 3, "mode": "classifier",
    },
    # python finetune.py top --preset small --backbone runs/jetclass
    # make demo: rates chosen by validation loss, benchmarks/results/demo/rates.md
    ("top", "small"): {
        "epochs": 8, "batch": 32, "lr": 3e-4, "body_factor": 10.0, "weight_decay": 0.1,
        "patience": 8, "warmup_epochs": 1, "mode": "classifier",
    },
}  # fmt: skip

# PET from scratch, same budget: nothing to protect in the body, so it learns at the heads' rate;
# the small rate was searched for like the fine-tuned one
SCRATCH = {"full": {"body_factor": 1.0}, "small": {"body_factor": 1.0, "lr": 6e-4}}


def recipe(table: dict[tuple[str, str], dict], dataset: str, preset: str) -> dict:
    """The settings of a dataset; raises UserError naming those that have one."""
    if (dataset, preset) not in table:
        known = ", ".join(f"{name} ({size})" for name, size in table)
        raise UserError(
            f"no recipe for dataset {dataset!r} with preset {preset!r}; there is {known}"
        )
    return {"preset": preset, **table[dataset, preset]}
