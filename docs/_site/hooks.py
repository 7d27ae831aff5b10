"""What MkDocs does beyond Markdown: figures and notes of studies, files of the root, flags.

Pages link to other files of the repository as a reader of the repository does (../FIDELITY.md,
../benchmarks/results/...); here such links become links within the site.
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
# the few formulas in headings of tables
SYMBOLS = {r"$\ln\rho$": "ln ρ", r"$\tau_{21}$": "τ21", r"$\tau_{32}$": "τ32", "$z_g$": "z_g"}  # noqa: RUF001


def on_files(files, config):
    """Figures, tables and notes of the studies, and figures of cards, are files of the site."""
    for path in sorted((ROOT / RESULTS).rglob("*")):
        if path.suffix in (".md", ".png"):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted((ROOT / "backbones").glob("*.png")):  # beside the page that has the cards
        files.append(File.generated(config, path.name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Insert what a page asks for, and turn its links to the repository into links of the site."""
    if not page.file.src_uri.startswith(RESULTS):
        markdown = INCLUDE.sub(lambda found: included(ROOT / found[1]), markdown)
        markdown = INCLUDE_ALL.sub(lambda found: all_included(found[1]), markdown)
        markdown = re.sub(r"\]\(\.\./", "](", markdown)
        markdown = re.sub(r"\]\(([A-Z]+\.md)", of_the_root, markdown)
        if FLAGS in markdown:
            markdown = markdown.replace(FLAGS, flags())
    for written, symbol in SYMBOLS.items():
        markdown = markdown.replace(written, symbol)
    return markdown


def of_the_root(link: re.Match) -> str:
    return f"]({PAGES.get(link[1], link[1])}"


def included(path: Path) -> str:
    """A file of the repository without its title, its links seen from docs/."""
    if not path.is_file():
        raise PluginError(f"{path} not found, which a page includes")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = notebook(json.loads(text))
    if text.startswith("# "):
        text = text.partition("\n")[2]
    return text.replace("](docs/", "](")


def notebook(cells: dict) -> str:
    """The cells of a notebook as Markdown, without their outputs."""
    parts = []
    for cell in cells["cells"]:
        source = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        parts.append(f"```python\n{source}\n```" if is_code else source)
    return "\n\n".join(parts) + "\n"


def all_included(pattern: str) -> str:
    """The files of the root that fit a pattern, one below the other; there may be none."""
    return "\n".join(
        f"## {path.stem}\n{included(path)}" if "*" in pattern else included(path)
        for path in sorted(ROOT.glob(pattern))
    )


def flags() -> str:
    """All flags of all commands, as the programs themselves say; in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("flags.py"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(f"flags.py ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
