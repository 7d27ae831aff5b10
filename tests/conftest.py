"""Makes the suite and the toy shower importable wherever the tests are started from."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import omnilearn.environment  # noqa: E402, F401 - as every command does
