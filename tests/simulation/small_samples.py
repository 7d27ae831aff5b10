"""Recipes and plans of the small samples: multiple interactions off is five times faster."""

import argparse
from dataclasses import replace
from pathlib import Path

from simulation import jetclass
from simulation.plan import OutputFile

JETS = 120  # training jets per class
CLEAN = replace(jetclass.CARD, settings=(*jetclass.CARD.settings, "PartonLevel:MPI = off"))


def jetclass_files(out: Path, train: int, val: int, test: int, per_file: int) -> list[OutputFile]:
    """The files of a JetClass sample with so many jets per class."""
    arguments = argparse.Namespace(
        out=out,
        train=train,
        val=val,
        test=test,
        share=10,
        jets_per_file=per_file,
        classes=list(jetclass.PUBLIC_NAMES),
    )
    return jetclass.files(arguments)
