"""Run the job scripts of the checkout as on a laptop or a cluster."""

import os
import shlex
import subprocess

from commands import ROOT, run_process


def bash(script: str, *arguments, **environment) -> subprocess.CompletedProcess:
    """Run a job script as on a laptop, or on the site in `environment`."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM", "OMNILEARN", "NERSC"))
    }
    return run_process(
        ["bash", ROOT / "jobs" / script, *map(str, arguments)],
        env={**clean, "OMNILEARN_SITE": "laptop", **environment},
        cwd="/",
    )


def printed(script: str, *arguments, **environment) -> list[list[str]]:
    """The commands that a job script would run."""
    process = bash(script, *arguments, OMNILEARN_PRINT="1", **environment)
    assert process.returncode == 0, process.stderr
    return [shlex.split(line) for line in process.stdout.splitlines()]


def slurm(**more) -> dict[str, str]:
    return {"OMNILEARN_SITE": "cluster", "SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(ROOT), **more}
