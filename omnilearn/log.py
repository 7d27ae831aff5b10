"""Messages of a running command: plain lines on stdout, from rank 0 only.

    from omnilearn.log import log
    log.info(f"{run}: 10 epochs")

The logger is "omnilearn": `logging.getLogger("omnilearn").setLevel("WARNING")` keeps only warnings,
in a notebook for instance. Errors that end a command are exceptions, see `omnilearn.errors`. All
ranks may log; guard by the rank only what costs time or exists on rank 0 alone.
"""

import logging
import sys


class Stdout(logging.Handler):
    """Prints to the current sys.stdout; a closed or full output raises, as print does."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def is_of_rank_zero(record: logging.LogRecord) -> bool:
    """True on rank 0, and in commands that never load Horovod.

    distributed.rank() starts Horovod if it is not running.
    """
    distributed = sys.modules.get("omnilearn.training.distributed")
    return distributed is None or distributed.rank() == 0


log = logging.getLogger("omnilearn")
log.setLevel(logging.INFO)
log.propagate = False  # TensorFlow prints what reaches the root logger a second time
if not log.handlers:
    log.addHandler(Stdout())
    log.addFilter(is_of_rank_zero)
