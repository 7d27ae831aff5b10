"""Settings of an unfolding and of the classifiers it may use; data, not code."""

from omnilearn.recipes import Settings

# finetune.py omnifold: the algorithm; later_lr of the full preset is that of the released code
UNFOLDING: dict[str, Settings] = {
    "full": {"iterations": 5, "folds": 5, "later_epochs": 20, "later_lr": 1e-6},
    "small": {"iterations": 3, "folds": 2, "later_epochs": 3, "later_lr": 1e-4},
}
# --classifier: differences from PET's recipe. DeepSets is ten times faster; at the rate of PET from
# scratch it diverges (16 000 events, benchmarks/results/unfolding). The settings of trees are
# explained in boosted_trees.py
TREES: Settings = {"epochs": 500, "lr": 0.05, "patience": 20, "weight_decay": 1.0}
CLASSIFIERS: dict[str, dict[str, Settings]] = {
    "deepsets": {"small": {"epochs": 16, "patience": 16, "lr": 1e-4}},
    "trees": {"full": TREES, "small": TREES},
}
CLASSIFIERS_UNFOLDING: dict[str, dict[str, Settings]] = {
    "deepsets": {"small": {"later_epochs": 8, "later_lr": 5e-5}}
}
