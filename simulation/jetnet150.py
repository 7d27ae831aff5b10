"""JetNet150: gluon, quark, top, W and Z jets of about 1 TeV, 150 constituents, HDF5."""

from functools import partial

from simulation import jetnet

CARD = jetnet.card("jetnet150", 150)
add_arguments = jetnet.add_arguments
files = partial(jetnet.files, suffix="150")
