"""A uniform shuffle of more jets than fit into memory: deal them to buckets, shuffle each bucket.

Every jet goes to a bucket drawn at random; a bucket is small enough to be shuffled in memory.
Buckets one after the other are a uniformly random order, however the input was sorted (Rao 1961,
Sandelius 1962). On disk the buckets share one file of unpadded float32 rows.
"""

import tempfile
from pathlib import Path

import numpy as np

from omnilearn.data.spec import DatasetSpec
from preprocessing.jet_chunk import PreparedJets, record_type

BUCKET_JETS = 8192  # expected jets per bucket: 64 MB when padded to 150 constituents


class Buckets:
    """Jets on disk in `num_buckets` buckets; the same seed and jets give the same order.

    The file lies in `folder` without a name: it is gone however the process ends.
    """

    def __init__(self, folder: Path, jets: int, spec: DatasetSpec, rng: np.random.Generator):
        self.num_buckets = max(1, -(-jets * spec.jets_per_row // BUCKET_JETS))
        self.num_features, self.record_type = spec.num_features, record_type(spec)
        self.rng = rng
        self.segments = [[] for _ in range(self.num_buckets)]  # (offset, jets, constituents)
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "Buckets":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    def deal(self, jets: PreparedJets) -> None:
        """Append every jet to a random bucket."""
        bucket = self.rng.integers(self.num_buckets, size=len(jets.records))
        jets = jets.take(np.argsort(bucket, kind="stable"))
        sizes = np.bincount(bucket, minlength=self.num_buckets)
        jet_ends = np.cumsum(sizes)
        constituent_ends = np.concatenate([[0], np.cumsum(jets.kept)])[jet_ends]
        first_jet = first_constituent = 0
        for number in np.flatnonzero(sizes):
            last_jet, last_constituent = jet_ends[number], constituent_ends[number]
            self.segments[number].append(
                (self.file.tell(), last_jet - first_jet, last_constituent - first_constituent)
            )
            self.file.write(jets.records[first_jet:last_jet].tobytes())
            self.file.write(jets.features[first_constituent:last_constituent].tobytes())
            first_jet, first_constituent = last_jet, last_constituent

    def bucket(self, number: int) -> PreparedJets:
        """The jets of one bucket, in random order."""
        records = [np.empty(0, self.record_type)]
        features = [np.empty((0, self.num_features), np.float32)]
        for offset, jets, constituents in self.segments[number]:
            self.file.seek(offset)
            rows = self.file.read(jets * self.record_type.itemsize)
            records.append(np.frombuffer(rows, self.record_type))
            rows = self.file.read(constituents * self.num_features * 4)
            features.append(np.frombuffer(rows, np.float32).reshape(-1, self.num_features))
        jets = PreparedJets(np.concatenate(records), np.concatenate(features))
        return jets.take(self.rng.permutation(len(jets.records)))
