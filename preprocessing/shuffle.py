"""A uniform shuffle of more jets than fit into memory: scatter them to buckets, shuffle each.

Every jet goes to a random bucket; a bucket is small enough to be shuffled in memory, or scattered
once more. The buckets in sequence are a uniformly random order, however the input was sorted
(Rao 1961, Sandelius 1962). On disk the buckets share one file of unpadded float32 rows; memory
holds one bucket, and 24 bytes for each segment that was written.
"""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.spec import DatasetSpec
from preprocessing.jet_chunk import CHUNK_ROWS, PreparedJets, record_type

BUCKET_JETS = 8192  # expected jets per bucket: 64 MB when padded to 150 constituents
MOST_BUCKETS = 128  # with more of them, segments would have a few jets only


class Buckets:
    """Jets on disk in `num_buckets` buckets; the same seed and jets give the same order.

    The file in `folder` has no name, so that it disappears with the process.
    """

    def __init__(self, folder: Path, jets: int, spec: DatasetSpec, rng: np.random.Generator):
        self.num_buckets = min(MOST_BUCKETS, max(1, -(-jets * spec.jets_per_row // BUCKET_JETS)))
        self.folder, self.spec, self.record_type = folder, spec, record_type(spec)
        self.rng = rng
        # per bucket: offset, jets and constituents of each segment
        self.segments = [array("q") for _ in range(self.num_buckets)]
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "Buckets":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    def scatter(self, jets: PreparedJets) -> None:
        """Append every jet to a random bucket."""
        bucket = self.rng.integers(self.num_buckets, size=len(jets.records))
        jets = jets.take(np.argsort(bucket, kind="stable"))
        sizes = np.bincount(bucket, minlength=self.num_buckets)
        jet_ends = np.cumsum(sizes)
        constituent_ends = np.concatenate([[0], np.cumsum(jets.kept)])[jet_ends]
        first_jet = first_constituent = 0
        for index in np.flatnonzero(sizes):
            last_jet, last_constituent = jet_ends[index], constituent_ends[index]
            self.segments[index].extend(
                (self.file.tell(), last_jet - first_jet, last_constituent - first_constituent)
            )
            self.write(jets.records[first_jet:last_jet].tobytes())
            self.write(jets.features[first_constituent:last_constituent].tobytes())
            first_jet, first_constituent = last_jet, last_constituent

    def write(self, content: bytes) -> None:
        """Write to the file; an OSError, as for a full disk, names its folder."""
        try:
            self.file.write(content)
        except OSError as error:
            error.filename = error.filename or str(self.folder)
            raise

    def shuffled(self) -> Iterator[PreparedJets]:
        """All jets in random order, a bucket at a time."""
        for index in range(self.num_buckets):
            rows = sum(self.segments[index][1::3])
            if rows * self.spec.jets_per_row <= 2 * BUCKET_JETS:
                for jets in self.buffers(index, rows):
                    yield jets.take(self.rng.permutation(rows))
                continue
            with Buckets(self.folder, rows, self.spec, self.rng) as smaller:
                for jets in self.buffers(index, CHUNK_ROWS):
                    smaller.scatter(jets)
                yield from smaller.shuffled()

    def buffers(self, index: int, rows: int) -> Iterator[PreparedJets]:
        """The jets of one bucket in the order of scattering, at least `rows` at a time."""
        buffer, count = [], 0
        segments = iter(self.segments[index])
        for offset, jets, constituents in zip(segments, segments, segments, strict=True):
            self.file.seek(offset)
            records = self.file.read(jets * self.record_type.itemsize)
            features = self.file.read(constituents * self.spec.constituent_columns * 4)
            buffer.append(
                (np.frombuffer(records, self.record_type), np.frombuffer(features, np.float32))
            )
            count += jets
            if count >= rows:
                yield self.concatenated(buffer)
                buffer, count = [], 0
        if buffer:
            yield self.concatenated(buffer)

    def concatenated(self, segments: list[tuple[np.ndarray, np.ndarray]]) -> PreparedJets:
        records, features = (np.concatenate(arrays) for arrays in zip(*segments, strict=True))
        return PreparedJets(records, features.reshape(-1, self.spec.constituent_columns))
