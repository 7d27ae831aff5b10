"""Run the Python examples of documentation and docstrings."""

import doctest
import re

from commands import ROOT


def example(page: str, containing: str) -> str:
    """The one Python block of `page` that contains this text."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (block,) = (block for block in blocks if containing in block)
    return block


def run_example(page: str, containing: str, **names) -> dict:
    """Run that block with these names defined, and return all names afterwards."""
    exec(compile(example(page, containing), page, "exec"), names)
    return names


def run_doctests(thing, **names) -> doctest.TestResults:
    """Run the examples in the docstrings of a class with these names defined; count failures."""
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(thing, extraglobs=names):
        runner.run(test)
    return runner.summarize(verbose=False)
