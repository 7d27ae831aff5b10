"""JetNet150: the 150 hardest constituents of each jet."""

from functools import partial

from omnilearn.data.catalogue import JETNET150
from preprocessing import jetnet
from preprocessing.sources import RemoteFile

REMOTE = tuple(RemoteFile.zenodo(6975117, name) for name in jetnet.file_names(JETNET150))

shards = partial(jetnet.shards, spec=JETNET150)
count = partial(jetnet.count, spec=JETNET150)
read = partial(jetnet.read, spec=JETNET150)
