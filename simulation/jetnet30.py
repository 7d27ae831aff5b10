"""JetNet30: gluon, quark, top, W and Z jets of about 1 TeV, 30 constituents, HDF5."""

from functools import partial

from simulation import jetnet

CARD = jetnet.card("jetnet30", 30)
add_arguments = jetnet.add_arguments
files = partial(jetnet.files, suffix="")
