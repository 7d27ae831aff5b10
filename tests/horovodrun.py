"""The launcher of several ranks, and the marks of the tests that use it."""

import importlib.util
import sys
from pathlib import Path

import pytest

LAUNCHER = Path(sys.executable).parent / "horovodrun"
HAS_HOROVOD = importlib.util.find_spec("horovod") is not None
NEEDS_HOROVOD = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_HOROVOD, reason="horovod is not installed"),
]
