"""JetNet30: the 30 hardest constituents of each jet."""

from functools import partial

from omnilearn.data.catalogue import JETNET30
from preprocessing import jetnet
from preprocessing.sources import RemoteFile

MD5 = {
    "g.hdf5": "4f537329da897a22a59762c9fd8b74da",
    "q.hdf5": "0ede789774bb74d4795c5d19d7ef66c6",
    "t.hdf5": "6c9d0663b352c85f74fcd2553e6872bf",
    "w.hdf5": "16cc265cb039f76bba43bab408916e3e",
    "z.hdf5": "90ffacd034dc87c802bc43385af9fea3",
}
REMOTE = tuple(RemoteFile.zenodo(6975118, name, f"md5:{md5}") for name, md5 in MD5.items())

shards = partial(jetnet.shards, spec=JETNET30)
count = partial(jetnet.count, spec=JETNET30)
read = partial(jetnet.read, spec=JETNET30)
