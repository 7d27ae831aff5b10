"""Batches of jets: shuffled, standardised, grouped by multiplicity and prefetched, with NumPy.

A batch is a dict of float32 arrays with L slots, L chosen per batch (`mixing.padded_lengths`):
constituents (B, L, 13) standardised, exactly 0 in padded slots; mask (B, L) 1 real, 0 padded;
jet (B, 4) standardised; label (B, C) one-hot; weight (B,), of mean 1 over the split; index (B,)
int64, the row in the split.
"""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, cast

import numpy as np

from omnilearn.content import content, hashed
from omnilearn.data.jet_source import JetRows, JetSource, StoredJets
from omnilearn.data.mixing import (
    EpochPlan,
    JetOrder,
    evaluation_lengths,
    length_groups,
    padded_lengths,
)
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.progress import progress

Batch = dict[str, np.ndarray]


class Pipeline:
    """The batches of one rank; all ranks compute the same steps and slots without communication.

    lengths: numbers of slots of batches, the last one all slots; (P,) switches grouping off.
    window: jets held in memory, shuffled and grouped together. Memory is two to three windows and
    one byte per jet of the split.
    """

    def __init__(
        self,
        files: JetRows,
        spec: DatasetSpec,
        batch_size: int,
        rank: int = 0,
        size: int = 1,
        seed: int = 0,
        lengths: tuple[int, ...] | None = None,
        window: int = 8192,
        weighted: bool = True,
        selected: np.ndarray | None = None,
        jets_per_epoch: int = 0,
    ):
        """weighted: take the weights of the files; 1 for every jet otherwise.

        selected: rows of the files (num_jets,) bool that are used; all of them where absent.
        jets_per_epoch: of all ranks together; an epoch starts where the last one ended, so that
        a pass shows every jet once. 0, or more than there are: an epoch is a pass.
        """
        slots = spec.max_constituents
        self.lengths = tuple(sorted(lengths or padded_lengths(slots)))
        self._evaluation_lengths = self.lengths if lengths else evaluation_lengths(slots)
        if self.lengths[0] < 1 or self.lengths[-1] != slots:
            raise ValueError(f"lengths {self.lengths}: expected 1 to {slots}, and {slots} itself")
        if batch_size < 1 or not 0 <= rank < size:
            raise ValueError(f"batch_size {batch_size}, rank {rank} of {size}")
        self.files = cast(StoredJets, files)  # jets in memory have no weights and no files
        self.spec = spec
        self.batch_size, self.rank, self.size, self.seed = batch_size, rank, size, seed
        self.jets_per_epoch = jets_per_epoch
        self._window_steps = max(1, window // batch_size)
        if selected is None:
            selected = np.ones(files.num_jets, bool)
        self._order = JetOrder.of_files(files.edges, files.multiplicity * selected)
        self._standardise = Standardisation(spec)
        self._weighted, self._weight_error = weighted, None
        if weighted:
            # weights such as cross sections must not change the learning rate
            try:
                self.files.weight_unit = self.files.mean_weight()
            except UserError as error:  # an evaluation can do without weights
                self._weight_error = error
                mean = float(np.abs(self.files.labels_and_weights()[1]).mean())
                self.files.weight_unit = mean or 1.0
        jets = int(selected.sum())
        empty = jets - len(self._order)
        if empty:
            log.warning(f"{spec.name}: {empty} of {jets} jets have no constituents: left out")
        if len(self._order) == 0:
            raise UserError(f"{spec.name}: none of {jets} jets has constituents")

    @property
    def num_jets(self) -> int:
        """Jets with constituents, over all ranks."""
        return len(self._order)

    @property
    def constituents_per_jet(self) -> float:
        """Mean over the jets of all ranks."""
        return float(self._order.multiplicity.sum(dtype=np.int64) / len(self._order))

    def sources(self) -> list[list]:
        """Name, number of rows that are read, and digest of the content, of every file."""
        sources = []
        with progress(self.files.num_jets, "recognising the files", rank=self.rank) as bar:
            for path, rows in self.files.rows_per_file():
                sources.append([path.name, len(rows), hashed(content(path).encode(), rows)])
                bar.update(len(rows))
        return sources

    def require_weights(self) -> None:
        """Raise UserError where the sum of the weights is not above zero."""
        if self._weight_error:
            raise self._weight_error

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, equal on all ranks; raises UserError when there is none."""
        steps, jets = self.steps_per_pass, self.batch_size * self.size
        if not self.jets_per_epoch:
            return steps
        if self.jets_per_epoch < jets:
            raise UserError(
                f"--jets-per-epoch is {self.jets_per_epoch}; one batch of {self.batch_size} on "
                f"each of {self.size} ranks takes {jets}; give more jets or a smaller --batch"
            )
        return min(steps, self.jets_per_epoch // jets)

    @property
    def steps_per_pass(self) -> int:
        """Batches in a pass over all jets, equal on all ranks.

        Raises UserError when there is none, and where weights of both signs cancel.
        """
        self.require_weights()
        share = self.num_jets // self.size
        if share < self.batch_size:
            mend = f"the largest batch that works is {share}" if share else "use fewer ranks"
            raise UserError(
                f"{self.spec.name}: {self.num_jets} jets on {self.size} ranks are {share} per "
                f"rank, less than one batch of {self.batch_size}; {mend}"
            )
        return share // self.batch_size

    def epoch(self, epoch: int, start_step: int = 0) -> Generator[Batch, None, None]:
        """Training batches in the order of this epoch, from `start_step` on."""
        if not 0 <= start_step <= self.steps_per_epoch:
            raise ValueError(f"start_step {start_step} of {self.steps_per_epoch}")
        return prefetched(self._training_batches(epoch, start_step), self._window_steps)

    def ordered(self) -> Generator[Batch, None, None]:
        """Every jet of this rank's contiguous share once; over all ranks every jet once.

        Jets are ordered by length inside a window; `index` identifies them. Ranks may differ in the
        number of batches and in their lengths, and the last batch may be smaller.
        """
        return prefetched(self._evaluation_batches(), self._window_steps)

    def _training_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        begin, end = epoch * self.steps_per_epoch + start_step, (epoch + 1) * self.steps_per_epoch
        while begin < end:  # steps since the beginning of the training
            index, first = divmod(begin, self.steps_per_pass)
            last = min(first + end - begin, self.steps_per_pass)
            yield from self._part_of_pass(index, first, last)
            begin += last - first

    def _part_of_pass(self, index: int, first: int, last: int) -> Iterator[Batch]:
        """Batches `first` to `last` of one pass over the jets."""
        sizes = (self.batch_size, self.size, self._window_steps)
        plan = EpochPlan(self._order, self.lengths, *sizes, self.seed, index)
        for window in range(plan.num_windows):
            steps = plan.steps(window)
            if steps.stop <= first or steps.start >= last:
                continue
            begin, end = max(0, first - steps.start), last - steps.start
            batches = plan.batches(window, self.rank)[begin:end]
            yield from self._read(plan.rows(window, self.rank), batches)

    def _evaluation_batches(self) -> Iterator[Batch]:
        lengths = self._evaluation_lengths
        group_of = length_groups(lengths)
        begin = self.rank * self.num_jets // self.size
        end = (self.rank + 1) * self.num_jets // self.size
        step = self._window_steps * self.batch_size
        for start in range(begin, end, step):
            rows = self._order.rows(start, min(start + step, end))
            groups = group_of[self.files.multiplicity[rows]]
            by_length = np.argsort(groups, kind="stable")
            cuts = range(self.batch_size, len(rows), self.batch_size)
            batches = np.split(by_length, cuts)
            yield from self._read(rows, [(batch, lengths[groups[batch[-1]]]) for batch in batches])

    def _read(self, rows: np.ndarray, batches: list[tuple[np.ndarray, int]]) -> Iterator[Batch]:
        """Read a window of rows and cut it into batches, each (indices into `rows`, slots)."""
        jets = self.files.gather(rows)
        filled = self.files.multiplicity[rows]
        for batch, slots in batches:
            mask = (np.arange(slots) < filled[batch, None]).astype(np.float32)
            weight = jets["weight"][batch] if self._weighted else np.ones(len(batch), np.float32)
            yield {
                "constituents": self._standardise.constituents(jets["data"], batch, mask),
                "mask": mask,
                "jet": self._standardise.jets(jets["jet"][batch]),
                "label": jets["pid"][batch],
                "weight": weight,
                "index": rows[batch],
            }


class WeightedPipeline(Pipeline):
    """Batches with other labels (num_jets, C) and weights (num_jets,) than those of the files.

    Jets of weight zero are left out. A label may be shared among classes, for a jet in two samples.
    """

    def __init__(
        self,
        files: JetSource,
        spec: DatasetSpec,
        label: np.ndarray,
        weight: np.ndarray,
        batch_size: int,
        rank: int = 0,
        size: int = 1,
        seed: int = 0,
        **more,
    ):
        more |= {"weighted": False, "selected": weight != 0}
        super().__init__(files, spec, batch_size, rank, size, seed, **more)
        self._label = np.asarray(label, np.float32)
        self._own_weight = np.asarray(weight, np.float32)

    def _read(self, rows, batches):
        for batch in super()._read(rows, batches):
            index = batch["index"]
            yield {**batch, "label": self._label[index], "weight": self._own_weight[index]}


class Standardisation:
    """z = (x - mean) / std with the constants of the dataset, and its inverse.

    Features that the dataset lacks are zeros.
    """

    def __init__(self, spec: DatasetSpec):
        self._stored = spec.num_features
        constants = spec.normalisation
        # repeated over slots: one long contiguous row per jet is several times faster than 13
        self._mean = np.tile(
            np.asarray(constants.feature_mean[: self._stored], np.float32), spec.max_constituents
        )
        self._scale = np.tile(
            1 / np.asarray(constants.feature_std[: self._stored], np.float32), spec.max_constituents
        )
        self._jet_mean = np.asarray(constants.jet_mean, np.float32)
        self._jet_scale = 1 / np.asarray(constants.jet_std, np.float32)

    def constituents(self, data: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Rows (B,) of data (window, P, F), standardised (B, L, 13), zero where mask (B, L) is."""
        jets, slots = mask.shape
        width = slots * self._stored
        flat = data.reshape(len(data), -1)[:, :width][rows]  # (B, L F), the only copy
        flat -= self._mean[:width]
        flat *= self._scale[:width]
        stored = flat.reshape(jets, slots, self._stored)
        stored *= mask[..., None]
        if self._stored == len(FEATURES):
            return stored
        complete = np.zeros((jets, slots, len(FEATURES)), np.float32)
        complete[..., : self._stored] = stored
        return complete

    def jets(self, jet: np.ndarray) -> np.ndarray:
        """Jet features (B, 4), standardised."""
        return (jet - self._jet_mean) * self._jet_scale

    def original_constituents(
        self, standardised: np.ndarray, mask: np.ndarray, names: tuple[str, ...] = ()
    ) -> np.ndarray:
        """Features (B, L, any number) as stored in files, zero where mask (B, L) is.

        names: names of the features; the first ones where empty.
        """
        names = names or FEATURES[: standardised.shape[-1]]
        columns = [FEATURES.index(name) for name in names]
        original = standardised / self._scale[columns] + self._mean[columns]
        return original * mask[..., None]

    def original_jets(self, standardised: np.ndarray) -> np.ndarray:
        """Jet features (B, 4) in GeV, radians and constituents."""
        return standardised / self._jet_scale + self._jet_mean


def pad_batch(batch: dict, batch_size: int) -> dict:
    """The batch with rows of weight zero added up to batch_size: fewer shapes are compiled."""
    missing = batch_size - len(batch["mask"])
    if not missing:
        return batch
    filled = {
        name: np.concatenate([value, np.repeat(value[:1], missing, axis=0)])
        if np.ndim(value)
        else value
        for name, value in batch.items()
    }
    filled["weight"][-missing:] = 0.0
    return filled


def prefetched(items: Iterator, ahead: int) -> Generator[Any, None, None]:
    """The same items, made on a thread up to `ahead` of them in advance.

    Exceptions of the thread are raised here; it ends when this iterator is deleted.
    """
    ready: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()
    thread = threading.Thread(target=_make, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            while not ready.empty():  # make room, so that the thread can end
                ready.get()
            thread.join(timeout=0.01)


def _make(items: Iterator, ready: queue.Queue, stop: threading.Event) -> None:
    """Put (item, None) for each item, then (None, error or None)."""
    try:
        for item in items:
            ready.put((item, None))
            if stop.is_set():
                return
    except Exception as error:
        ready.put((None, error))
    else:
        ready.put((None, None))
