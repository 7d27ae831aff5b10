"""Program of every rank of test_rank_faults.py: add up numbers until another rank is lost.

horovodrun -np 2 --gloo python tests/rank_faults_worker.py OUT
"""

import os
import sys
import time
from pathlib import Path

from omnilearn.errors import run_cli
from omnilearn.training import distributed


def main() -> None:
    distributed.horovod()
    out = Path(sys.argv[1]) / f"rank{distributed.rank()}"
    with distributed.ranks_that_end():
        while True:
            distributed.total(1.0)
            out.write_text(str(os.getpid()))
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(run_cli(main))
