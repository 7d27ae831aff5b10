"""The Python examples of a page of the documentation, to be run as they stand."""

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
