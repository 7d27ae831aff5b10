"""The style of every figure: mplhep's, with the catalogue's labels and colours, as PNG and PDF.

Figures are made without pyplot: none stays open and no display is needed (Agg draws the PNG).
A user's matplotlibrc has no effect on them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import mplhep
from matplotlib.axes import Axes
from matplotlib.cbook import is_math_text
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from omnilearn.atomic import atomic_path
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError

# Colours of trainings, distinct for colour-blind readers (arXiv:2107.02270).
MODEL_COLOURS = {"OmniLearn": "#bd1f01", "from scratch": "#3f90da"}
OTHER_COLOURS = ("#832db6", "#ffa90e", "#a96b59", "#e76300", "#92dadd")
LIMIT_COLOUR = "#717581"

STYLE = {
    **mplhep.style.ROOT,
    "figure.figsize": (7.0, 6.0),
    "figure.constrained_layout.use": True,
    "font.size": 17,
    "legend.fontsize": 14,
    "legend.title_fontsize": "small",
    "lines.linewidth": 2.0,
    "axes.linewidth": 1.3,
    "xtick.major.size": 8,
    "xtick.minor.size": 4,
    "ytick.major.size": 8,
    "ytick.minor.size": 4,
    "savefig.dpi": 150,
    "pdf.fonttype": 42,  # TrueType: the text of a PDF can be searched
}
# Equal figures give equal files: no date and no version in them.
METADATA = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}


def model_colour(name: str, position: int = 0) -> str:
    """The colour of a model: the one in MODEL_COLOURS, else one by position."""
    return MODEL_COLOURS.get(name, OTHER_COLOURS[position % len(OTHER_COLOURS)])


def grouped(value: float) -> str:
    """A number with its digits in groups of three: 12 345 678."""
    return f"{value:,.0f}".replace(",", " ")


def sample_title(title: str, origin: str | None, size: int | None, what: str = "jets") -> str:
    """The title of a legend: the sample, its origin (public, simulated, own) and its size."""
    count = "" if size is None else f"{grouped(size)} {what}"
    return "\n".join(filter(None, (title, ", ".join(filter(None, (origin, count))))))


def class_style(spec: DatasetSpec, name: str) -> dict[str, str]:
    """Label and colour of a jet class, as keywords of a matplotlib artist.

    Raises ValueError with the known classes if there is no such class.
    """
    for label in spec.labels:
        if label.name == name:
            return {"label": label.latex, "color": label.colour}
    raise ValueError(f"{spec.name} has no class {name!r}, only {', '.join(spec.class_names)}")


def require_drawable(spec: DatasetSpec) -> None:
    """Raise UserError for a title, label or colour of your own that matplotlib cannot draw."""
    texts = [("'title'", spec.title)]
    texts += [(f"'latex' of the class {label.name}", label.latex) for label in spec.labels]
    mend = f"; change it in the dataset.json of {spec.name}"
    for what, text in texts:
        try:
            if is_math_text(text):
                MathTextParser("path").parse(text)
        except ValueError as error:
            raise UserError(
                f"{spec.name}: {what} is {text!r}; expected text, with mathematics that matplotlib "
                f"knows between two dollar signs{mend}"
            ) from error
    for label in spec.labels:
        if not is_color_like(label.colour):
            raise UserError(
                f"{spec.name}: 'colour' of the class {label.name} is {label.colour!r}; expected a "
                f"colour of matplotlib, such as '#3f90da'{mend}"
            )


@contextmanager
def figure(path_stem: Path | str, inches: tuple[float, float] | None = None) -> Iterator[Axes]:
    """The axes of a `canvas` with one panel."""
    with canvas(path_stem, inches) as drawing:
        yield drawing.add_subplot()


def remove_figure(path_stem: Path) -> None:
    """Remove the files of a figure that an earlier call of `canvas` wrote, if there are any."""
    for suffix in METADATA:
        path_stem.with_name(path_stem.name + suffix).unlink(missing_ok=True)


@contextmanager
def canvas(path_stem: Path | str, inches: tuple[float, float] | None = None) -> Iterator[Figure]:
    """Yield an empty figure; on exit, save it as `path_stem`.png and .pdf, atomically.

    inches: width and height, by default those of STYLE. If drawing fails, nothing is written.
    Equal drawings give equal bytes.
    """
    stem = Path(path_stem)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        drawing = Figure(figsize=inches)
        yield drawing
        for suffix, metadata in METADATA.items():
            with atomic_path(stem.with_name(stem.name + suffix)) as temporary:
                drawing.savefig(temporary, metadata=metadata)
