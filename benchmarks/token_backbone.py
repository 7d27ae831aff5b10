"""A trained token model as a backbone of this repository: tokeniser and GPT, card and digest.

    python -m benchmarks token_backbone --run runs/aspen_omnijet --name small_tokens

Writes backbones/NAME.h5 (the weights of the best epoch), NAME.md (the card), NAME_loss.png and a
line in SHA256SUMS. The run must be evaluated. jobs/backbone_small_tokens.sh has all steps.
"""

from pathlib import Path

from benchmarks.backbone import draw_losses, jets_seen, metrics_table, training_jets, write_weights
from benchmarks.programs import command_parser, write_text
from omnilearn.backbones import FOLDER, SUFFIX
from omnilearn.config import read_config
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.history import best_epoch, read_history
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.plotting.style import grouped
from omnilearn.statistics.results import read_results
from omnilearn.tokens.jet_gpt import OmniJetConfig
from omnilearn.tokens.token_models import TOKENISER_FOLDER

CARD = """\
# {name}

Tokeniser of {codes} codes and GPT of {channels} channels and {blocks} blocks ({weights} weights \
together, {megabytes:.1f} MB), pre-trained on {jets} {made} jets of {dataset}, without labels.

    python finetune.py top --model omnijet --preset small --backbone {name}

- SHA-256 of {name}.h5: `{digest}`
- made by `jobs/backbone_{name}.sh`, revision `{revision}`
- tokeniser: {tokeniser_epochs} epochs, {tokeniser_seen} jets seen, {tokeniser_minutes:.0f} \
minutes; best validation loss {tokeniser_best:.4f} after epoch {tokeniser_best_epoch}
- GPT: {gpt_epochs} epochs, {gpt_seen} jets seen, {gpt_minutes:.0f} minutes; best validation loss \
{gpt_best:.4f} after epoch {gpt_best_epoch}

## How good it is

The tokeniser, on test jets that are encoded and decoded:

{tokeniser}
New jets against test jets (distances of the observables, 0 for equal distributions):

{generated}
Uncertainties are those of the samples. What the names mean: docs/tokens.md, docs/generation.md.

![Loss of the GPT against epochs]({name}_loss.png)

## What it is not good for

- Its jets are simulated with Pythia 8 and a parametrised detector; they are no collider data, and \
no numbers of the papers can be expected.
- Its tokens contain pT and position of a constituent, not its charge or kind.
- It is small. The published model was trained on 180 million jets; where a result matters, start \
from `--published-weights`, or train the full preset.
"""


def main(arguments: list[str]) -> None:
    parser = command_parser("token_backbone", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="run of train.py --model omnijet")
    parser.add_argument("--name", required=True, help="the backbone's name: --backbone NAME")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the backbones")
    flags = parser.parse_args(arguments)
    flags.out.mkdir(parents=True, exist_ok=True)
    digest = write_weights(flags.run, flags.name, flags.out, OmniJetConfig)
    draw_losses(flags.run, "GPT", flags.out / f"{flags.name}_loss")
    write_text(flags.out / f"{flags.name}.md", card(flags.run, flags.name, flags.out, digest))
    print(f"{flags.out / flags.name}{SUFFIX} and its card are written, SHA-256 {digest}")


def card(run: Path, name: str, out: Path, digest: str) -> str:
    """The text of NAME.md, with all numbers from the run."""
    _, about = read_config(run / "config.json")
    results = read_results(run / "results.json")
    path = out / f"{name}{SUFFIX}"
    backbone = load_checkpoint(path, OmniJetConfig)
    sizes = backbone.model_config
    return CARD.format(
        name=name,
        codes=sizes.tokeniser.num_codes,
        channels=sizes.gpt.dim,
        blocks=sizes.gpt.num_blocks,
        weights=grouped(sum(array.size for array in backbone.weights.values())),
        megabytes=path.stat().st_size / 1e6,
        jets=grouped(training_jets(run, OmniJetConfig)),
        made=results["data"],
        dataset=CATALOGUE[results["dataset"]].title,
        digest=digest,
        revision=about["revision"],
        **about_training("tokeniser", run / TOKENISER_FOLDER),
        **about_training("gpt", run),
        tokeniser=metrics_table(results["tokeniser"]),
        generated="\n".join(metrics_table(metrics) for metrics in results["generated"].values()),
    )


def about_training(name: str, run: Path) -> dict:
    """What the card says of one of both trainings, with keys that begin with its name."""
    history = read_history(run)
    best = best_epoch(history)
    return {
        f"{name}_epochs": len(history),
        f"{name}_seen": grouped(jets_seen(history)),
        f"{name}_minutes": sum(line["seconds"] for line in history) / 60,
        f"{name}_best": best["validation"]["loss"],
        f"{name}_best_epoch": best["epoch"],
    }
