"""Citations give the right version, and only sections, tables and figures that exist."""

import re

from commands import ROOT

CITED = [
    path
    for pattern in (
        "*.md",
        "*.cff",
        "docs/*.md",
        "omnilearn/**/*.py",
        "benchmarks/*.py",
        "preprocessing/*.py",
        "simulation/*.py",
    )
    for path in ROOT.glob(pattern)
]
# numbered parts of each paper; the letter has no numbered sections
PARTS = {
    "arXiv:2502.14652": {
        "Section": r"(I|II|III|IV|V|VI|VII|VIII|IX)(\.[1-5])?",
        "Sections": r"III",
        "Table": r"[1-8]",
        "Figure": r"[1-7]",
        "Eq.": r"1",
        "Appendix": r"A",
    },
    "arXiv:2404.16091v2": {"Table": r"I|II", "Figure": r"1"},
    "arXiv:2412.10504": {"Section": r"(I|II|III|IV)(\.[1-4])?", "Figure": r"[1-4]", "Eq.": r"[12]"},
}


PAPER = r"(arXiv:[0-9.]+\d(?:v2)?)"
PART = r"(Sections?|Tables?|Figures?|Eq\.|Appendix) ([0-9IVXA.]+\w?)"


def test_the_letter_is_cited_with_its_version():
    # the text of v1 differs
    for path in CITED:
        assert not re.search(r"2404\.16091(?!v2)", path.read_text()), path


def test_cited_parts_exist_in_the_paper():
    citations = 0
    for path in CITED:
        for paper, kind, part in re.findall(rf"{PAPER},? \(?{PART}", path.read_text()):
            if paper in PARTS:
                citations += 1
                pattern = PARTS[paper].get(kind, "none")
                assert re.fullmatch(pattern, part.rstrip(".")), (path, paper, kind, part)
    assert citations > 20
