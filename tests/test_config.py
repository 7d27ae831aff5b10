"""Every field of the configuration is a flag with a help line and is read somewhere."""

import argparse
import re
from dataclasses import asdict, fields

import pytest
from commands import ROOT

from omnilearn.config import Config, chosen, read_config
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.recipes import ARCHITECTURES, FINETUNING, PRETRAINING, SCRATCH, recipe
from omnilearn.settings import add_flags, configured, flag
from omnilearn.tokens.recipes import (
    TOKEN_ARCHITECTURES,
    TOKEN_FINETUNING,
    TOKEN_PRETRAINING,
    TOKEN_SCRATCH,
    TOKEN_TAGGING,
    TOKENISER,
)

every_field = pytest.mark.parametrize("item", fields(Config), ids=lambda item: item.name)


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser, Config)
    return parser


@every_field
def test_every_field_is_a_flag_with_a_help_line(item, parser):
    (action,) = [a for a in parser._actions if f"--{flag(item.name)}" in a.option_strings]
    assert action.help.startswith(item.metadata["help"])
    assert len(item.metadata["help"]) > 10
    assert item.default in (None, "") or repr(item.default) in action.help


@every_field
def test_every_field_is_read_somewhere(item):
    pattern = re.compile(rf"\bconfig\.{item.name}\b")
    sources = [*ROOT.glob("*.py"), *(ROOT / "omnilearn").rglob("*.py")]
    readers = [path.name for path in sources if pattern.search(path.read_text())]
    assert readers, f"nothing reads config.{item.name}"


@every_field
def test_every_flag_sets_its_field(item, parser):
    texts = {
        "preset": "small",
        "mode": "generator",
        "padding": "masked",
        "diffused_pt": "log_pt",
        "model": "omnijet",
        "optimiser": "adamw",
        "precision": "bfloat16",
    }
    if item.type is bool:
        no = "no-" if item.default else ""
        arguments, value = [f"--{no}{flag(item.name)}"], not item.default
    else:
        text = texts.get(item.name, "7" if item.type is int else "0.5")
        arguments, value = [f"--{flag(item.name)}", text], item.type(text)
    config = configured(Config, {}, parser.parse_args(arguments))
    assert getattr(config, item.name) == value
    assert config == Config(**{item.name: value})


def test_regression_and_hidden_identities_belong_to_the_training_of_both_heads(parser):
    no_flags = parser.parse_args([])
    for recipe_mode, weight, drop in (("all", 1.0, 0.1), ("classifier", 0.0, 0.0)):
        config = configured(Config, {"mode": recipe_mode}, no_flags)
        assert (config.regression_weight, config.feature_drop) == (weight, drop)
    config = configured(Config, {"mode": "all"}, parser.parse_args(["--mode", "classifier"]))
    assert (config.regression_weight, config.feature_drop) == (0.0, 0.0)
    flags = parser.parse_args(["--regression-weight", "0.5", "--feature-drop", "0.2"])
    config = configured(Config, {"mode": "classifier"}, flags)
    assert (config.regression_weight, config.feature_drop) == (0.5, 0.2)


def test_flags_replace_the_recipe_and_the_recipe_the_defaults(parser):
    arguments = parser.parse_args(["--epochs", "3", "--no-overwrite"])
    config = configured(Config, {"epochs": 20, "batch": 64}, arguments)
    assert (config.epochs, config.batch, config.lr) == (3, 64, Config.lr)
    assert "epochs" not in parser.parse_args([])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch", -1),
        ("checkpoint_every", -1),
        ("patience", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("body_factor", -1.0),
        ("seed", -1),
        ("seed", 2**32),
        ("train_jets", -5),
        ("weight_decay", -0.1),
        ("label_drop", 1.5),
        ("feature_drop", float("nan")),
        ("mode", "tagger"),
        ("padding", "none"),
        ("preset", "huge"),
        ("name", ".."),
        ("name", "a/b"),
        ("model", "gpt"),
        ("optimiser", "ranger"),
        ("val_jets", -1),
        ("jets_per_epoch", -1),
        ("clip_norm", -1.0),
        ("beta2", 1.0),
        ("beta2", float("nan")),
    ],
)
def test_a_setting_out_of_range_is_refused_with_flag_and_value(name, value):
    with pytest.raises(UserError, match=rf"--{flag(name)} is {re.escape(repr(value))}; expected"):
        Config(**{name: value})


def test_every_recipe_is_a_configuration():
    for table in (PRETRAINING, FINETUNING):
        for dataset, preset in table:
            config = Config(**recipe(table, dataset, preset))
            assert config.preset == preset
            assert preset in ARCHITECTURES
            Config(**{**asdict(config), **recipe(SCRATCH, dataset, preset)})


def test_every_recipe_of_token_models_is_a_configuration():
    for table in (TOKEN_PRETRAINING, TOKEN_FINETUNING, TOKEN_TAGGING):
        for preset in TOKEN_ARCHITECTURES:
            config = Config(**recipe(table, "aspen", preset))
            assert (config.model, config.optimiser) == ("omnijet", "adamw")
            Config(**{**asdict(config), **TOKENISER[preset]})
            Config(**{**asdict(config), **recipe(TOKEN_SCRATCH, "jetclass", preset)})


def test_a_fresh_gpt_has_a_larger_learning_rate_than_a_pretrained_one():
    """At the larger rate, a pre-trained small GPT is best after its first epoch."""
    fresh, trained = (
        recipe(table, "jetclass", "small")["lr"] for table in (TOKEN_SCRATCH, TOKEN_FINETUNING)
    )
    assert fresh == recipe(TOKEN_PRETRAINING, "jetclass", "small")["lr"] > trained


def test_a_missing_recipe_names_those_that_exist():
    with pytest.raises(UserError, match=r"'top' with preset 'huge'; there is jetclass \(full\)"):
        recipe(PRETRAINING, "top", "huge")


@pytest.mark.parametrize("table", [PRETRAINING, FINETUNING])
@pytest.mark.parametrize("preset", ["full", "small"])
def test_every_dataset_has_a_recipe_and_unlabelled_jets_train_the_generator(table, preset):
    for spec in CATALOGUE.values():
        config = Config(**recipe(table, spec.name, preset))
        assert config.mode == "generator" or spec.num_classes > 1
    assert recipe(table, "one_of_your_own", preset).get("mode", "all") != "generator"


def test_the_preset_is_the_default_unless_given(parser):
    assert chosen(parser.parse_args([]), "preset") == "full"
    assert chosen(parser.parse_args(["--preset", "small"]), "preset") == "small"


@pytest.mark.parametrize(
    "text", ["not json", "[]", "{}", '{"config": {"epoch": 3}}', '{"config": [1]}', "\x00\xff"]
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=rf"{path} is not a configuration of this suite"):
        read_config(path)
