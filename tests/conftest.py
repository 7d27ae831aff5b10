"""Makes the suite and the helpers of the tests importable from any folder."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

# processes of pytest-xdist share the cores; TensorFlow and BLAS would take all of them in each
processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if processes > 1:
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    for library in ("TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OMP_NUM", "OPENBLAS_NUM"):
        os.environ.setdefault(f"{library}_THREADS", str(threads))

import omnilearn.environment  # noqa: E402, F401 - as every command does
