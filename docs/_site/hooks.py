"""Hooks of MkDocs: they add the results of studies, files of the root and flags to the site.

Pages link to other files by their paths in the repository (../FIDELITY.md,
../benchmarks/results/...); the hooks turn these into links within the site.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
RESULTS = "benchmarks/results"
INCLUDE = re.compile(r"<!-- include: (\S+) -->")
INCLUDE_ALL = re.compile(r"<!-- include-all: (\S+) -->")
FLAGS = "<!-- flags -->"
# files of the root that are pages of the site
PAGES = {
    "FIDELITY.md": "fidelity.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
}
# formulas in headings of tables
SYMBOLS = {r"$\ln\rho$": "ln ρ", r"$\tau_{21}$": "τ21", r"$\tau_{32}$": "τ32", "$z_g$": "z_g"}  # noqa: RUF001


def on_files(files, config):
    """Add figures, tables and notes of the studies and figures of cards to the site."""
    for path in sorted((ROOT / RESULTS).rglob("*")):
        if path.suffix in (".md", ".png"):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted((ROOT / "backbones").glob("*.png")):  # in the folder of the page of cards
        files.append(File.generated(config, path.name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Replace the markers of a page, and its links to the repository by links of the site."""
    if not page.file.src_uri.startswith(RESULTS):
        markdown = INCLUDE.sub(lambda match: included(ROOT / match[1]), markdown)
        markdown = INCLUDE_ALL.sub(lambda match: all_included(match[1]), markdown)
        markdown = re.sub(r"\]\(\.\./", "](", markdown)
        markdown = re.sub(
            r"\]\(([A-Z]+\.md)", lambda match: f"]({PAGES.get(match[1], match[1])}", markdown
        )
        if FLAGS in markdown:
            markdown = markdown.replace(FLAGS, flags())
    for written, symbol in SYMBOLS.items():
        markdown = markdown.replace(written, symbol)
    return markdown


def included(path: Path) -> str:
    """A file of the repository without its title, with links relative to docs/."""
    if not path.is_file():
        raise PluginError(f"{path} not found, which a page includes")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = notebook(json.loads(text)["cells"])
    if text.startswith("# "):
        text = text.partition("\n")[2]
    return text.replace("](docs/", "](")


def notebook(cells: list[dict]) -> str:
    """The cells of a notebook as Markdown, without their outputs."""
    texts = []
    for cell in cells:
        source = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        texts.append(f"```python\n{source}\n```" if is_code else source)
    return "\n\n".join(texts) + "\n"


def all_included(pattern: str) -> str:
    """The files of the root that match a pattern, one after the other; there may be none."""
    return "\n".join(
        f"## {path.stem}\n{included(path)}" if "*" in pattern else included(path)
        for path in sorted(ROOT.glob(pattern))
    )


def flags() -> str:
    """The output of flags.py, run in its own process."""
    command = [sys.executable, str(Path(__file__).with_name("flags.py"))]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        raise PluginError(f"flags.py ended with {process.returncode}: {process.stderr[-2000:]}")
    return process.stdout
