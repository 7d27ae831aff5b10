"""What a command says while it works: plain lines on stdout, those of rank 0 alone.

    from omnilearn.log import log
    log.info(f"{run}: 10 epochs")

The logger is "omnilearn": `logging.getLogger("omnilearn").setLevel("WARNING")` leaves only what
deserves attention, in a notebook for instance. What ends a command is an exception, see
`omnilearn.errors`. Every rank calls it, so a guard by the rank is needed only around what costs
time or exists on rank 0 alone.
"""

import logging
import sys


class Stdout(logging.Handler):
    """Prints to the stdout of the moment; a closed or full output raises, as print does."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def is_of_rank_zero(record: logging.LogRecord) -> bool:
    """There are ranks only where Horovod was asked for them; commands without it never load it.

    The question starts Horovod if that has not happened; its own start, and whatever comes after
    its end, has to print.
    """
    distributed = sys.modules.get("omnilearn.training.distributed")
    return distributed is None or distributed.rank() == 0


log = logging.getLogger("omnilearn")
log.setLevel(logging.INFO)
log.propagate = False  # TensorFlow's logging prints what reaches the root, a second time
if not log.handlers:
    log.addHandler(Stdout())
    log.addFilter(is_of_rank_zero)
