"""The Python examples of documentation and docstrings, to be run as they stand."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def example(page: str, containing: str) -> str:
    """The one block of `page` with this text in it."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (found,) = (block for block in blocks if containing in block)
    return found


def run_example(page: str, containing: str, **names) -> dict:
    """Run that block, with these names known, and return all names it leaves."""
    exec(compile(example(page, containing), page, "exec"), names)
    return names


def run_doctests(thing, **names) -> doctest.TestResults:
    """Run the examples in the docstrings of a class with these names known; failures and number."""
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(thing, extraglobs=names):
        runner.run(test)
    return runner.summarize(verbose=False)
