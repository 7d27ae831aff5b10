"""Settings of token models, arXiv:2403.05618 and arXiv:2412.10504; data, not code."""

from omnilearn.recipes import ANY, Recipes, Settings

# sizes by preset; everything else of the architecture is the published one
TOKEN_ARCHITECTURES: dict[str, dict[str, Settings]] = {
    "full": {"tokeniser": {}, "gpt": {}},
    "small": {
        "tokeniser": {"dim": 64, "num_blocks": 2, "num_codes": 512},
        "gpt": {"dim": 96, "num_heads": 6},
    },
}

# the tokeniser, trained before the GPT in the same run: differences from the settings of that run
OF_TOKENISERS: Settings = {
    **{"weight_decay": 1e-2, "warmup_epochs": 0, "optimiser": "adamw", "decay": True},
    "patience": 100,
}
TOKENISER: dict[str, Settings] = {
    "full": {**OF_TOKENISERS, "epochs": 2, "batch": 512, "lr": 1e-3},
    "small": {**OF_TOKENISERS, "epochs": 3, "batch": 64, "lr": 2e-3},
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
    # best rate in a scan with 100 and 1000 QCD jets, measured with earlier transformer blocks; at
    # 1e-3 the first epoch is the best
    (ANY, "small"): {**GPT, "epochs": 40, "batch": 50, "lr": 3e-4, "patience": 10},
}
# differences without --backbone, for a GPT from scratch
TOKEN_SCRATCH: Recipes = {(ANY, "full"): {}, (ANY, "small"): {"lr": GPT["lr"]}}
TAGGING = {**GPT, "mode": "classifier"}
TOKEN_TAGGING: Recipes = {
    # python finetune.py top --model omnijet --backbone runs/aspen_omnijet
    # rate and batch of the published transfer to classification; unmeasured here
    (ANY, "full"): {**TAGGING, "epochs": 100, "batch": 512, "lr": 1e-4, "patience": 10},
    (ANY, "small"): {**TAGGING, "epochs": 8, "batch": 32, "lr": 5e-4, "patience": 8},
}
