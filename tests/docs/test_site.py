"""The site is built without a warning, and no link is broken."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from commands import ROOT, run_process

TOOLS = ROOT / "docs" / "_site"


def module(name: str):
    """A program of docs/_site, which is no package."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


links, flags = module("links"), module("flags")


def site_of(folder: Path, **pages: str) -> Path:
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return folder


def test_broken_links_and_anchors_are_listed(tmp_path):
    site = site_of(
        tmp_path,
        index='<h1 id="top">x</h1><a href="other.html#there">a</a><a href="#top">b</a>'
        '<img src="roc.png"><a href="https://arxiv.org/abs/1911.09107">c</a>',
        other='<p id="there"><a href="index.html#gone">d</a><a href="no.html">e</a></p>',
    )
    broken, external = links.broken_links(site)
    assert broken == ["index.html: roc.png", "other.html: index.html#gone", "other.html: no.html"]
    assert external == {"https://arxiv.org/abs/1911.09107"}
    (tmp_path / "roc.png").touch()
    assert len(links.broken_links(site)[0]) == 2


def test_links_of_readme_lead_to_files():
    broken, external = links.broken_in_markdown(ROOT / "README.md")
    assert broken == []
    assert "https://arxiv.org/abs/2502.14652" in external


def test_anchors_in_links_of_readme_are_headings():
    for link in links.MARKDOWN_LINK.findall((ROOT / "README.md").read_text()):
        page, sign, anchor = link.partition("#")
        if sign and not links.is_external(link):
            headings = [
                line.lstrip("# ").lower().replace(",", "").replace(" ", "-")
                for line in (ROOT / page).read_text().splitlines()
                if line.startswith("#")
            ]
            assert anchor in headings, link


def test_flags_are_those_that_a_program_prints_with_help(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import argparse\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('run', help='a run')\n"
        "parser.add_argument('--jets', type=int, default=7, help='50 %% of %(default)s | all')\n"
        "parser.add_argument('--split', choices=('val', 'test'))\n"
        "parser.parse_args()\n"
        "raise SystemExit('not reached with --help')\n"
    )
    argv = list(sys.argv)
    rows = flags.flags_of(flags.parser_of(str(program)))
    assert rows == {"`run`": "a run", "`--jets`": "50 % of 7 | all", "`--split` (val, test)": ""}
    assert r"| `--jets` | 50 % of 7 \| all |" in flags.table(rows)
    assert sys.argv == argv


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mkdocs", "material", "mkdocstrings"))),
    reason="the packages of requirements-docs.txt are not installed",
)
def test_the_site_is_built_without_a_warning_and_has_no_broken_link(tmp_path):
    """All steps of `make docs`, with the flags of all programs."""
    build = f"-m mkdocs build --strict --quiet --site-dir {tmp_path / 'site'}"
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = run_process([sys.executable, *build.split()], cwd=ROOT, env=environment)
    assert (built.returncode, built.stderr) == (0, "")
    checked = run_process([sys.executable, TOOLS / "links.py", tmp_path / "site"])
    assert checked.returncode == 0, checked.stdout
    configuration = (tmp_path / "site" / "configuration.html").read_text()
    for flag in ("--backbone", "--train-jets", "--later-epochs", "--signal", "--ibu-iterations"):
        assert f"<code>{flag}</code>" in configuration, flag
    reference = (tmp_path / "site" / "reference.html").read_text()
    assert "write_dataset" in reference
    assert "Probability (jets, classes)" in reference
