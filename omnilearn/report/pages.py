"""HTML pages in one file: with embedded pictures, without scripts, for screens and printing."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from omnilearn.atomic import atomic_path

CAPTIONS = {
    "loss": "Loss by epoch: training (dashed) and validation (solid).",
    "roc": "Background rejection against signal efficiency: higher is better; bands are one sigma.",
    "confusion": "Percent of each true class (rows) that is classified as each class (columns).",
    "spectra_detector": "Spectra at detector level, and their ratio to the data.",
    "spectra_particle": "Spectra at particle level, and their ratio to the truth.",
    "spectra": "Spectra of generated and true jets, and their ratio.",
    "iterations": "Distance to the truth after every iteration of the unfolding.",
    "improvement": "Significance improvement eS / sqrt(eB) against signal efficiency.",
    "dijet_mass": "Dijet mass before and after the cuts, with the fit to the sidebands.",
    "scan": "Significance improvement and bump hunt against injected signal.",
    "closure": "Spectra of generated and true events, and their ratio.",
}


@dataclass(frozen=True)
class Picture:
    """A PNG: alternative text, caption, and its bytes as a data URL."""

    name: str
    caption: str
    url: str


def picture(path: Path, name: str) -> Picture:
    """The PNG file of a figure, to be embedded."""
    known = [key for key in CAPTIONS if path.stem == key or path.stem.startswith(f"{key}_")]
    caption = CAPTIONS[max(known, key=len)] if known else ""
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(name, caption, f"data:image/png;base64,{encoded}")


def figures_in(folder: Path, root: Path) -> list[Picture]:
    """The figures in a folder, sorted by name; their names are paths relative to `root`."""
    paths = sorted(path for path in folder.glob("*.png") if not path.is_symlink())
    return [picture(path, path.relative_to(root).with_suffix("").as_posix()) for path in paths]


@cache
def templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Fill a template with `content` and write it atomically; returns `path`."""
    text = templates().get_template(template).render(content)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
