"""Four-momenta in memory as inputs of a model, without a file in between.

The features are those that `preprocessing.own.write_dataset` stores for the same jets.
"""

from dataclasses import replace

import numpy as np

from omnilearn.data.spec import JET_FEATURES, KINEMATIC_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from preprocessing.jet_chunk import prepare
from preprocessing.jet_file import pad
from preprocessing.own import SOURCE, JetArrays
from preprocessing.own_constituents import PDG_ID, constituents_of

BLOCK_ROWS = 256


def jet_by_jet(spec: DatasetSpec) -> DatasetSpec:
    """The dataset with one jet per row: no events of several jets, levels or extra columns."""
    return replace(
        spec,
        jets_per_event=1,
        levels=(),
        observables=(),
        jet_features=JET_FEATURES,
        constituent_extra=(),
        jet_extra=(),
    )


class JetsInMemory:
    """Jets in any of the forms of `write_dataset`, with the interface of `data.reader.JetFiles`.

    num_jets; multiplicity (num_jets,): filled slots per jet; edges (blocks + 1,): rows at which
    blocks begin, and the end. `gather` computes features on demand, so that memory holds the
    four-momenta and the features of one window of batches.
    """

    origin = "own"

    def __init__(self, constituents, spec: DatasetSpec, can_hide_identity: bool = False):
        """Raises UserError as `write_dataset` does, for jets without constituents, PDG ids that
        are missing or not wanted, and a median jet pT far from the range of `spec`.

        can_hide_identity: the model knows jets whose identities are hidden, so that PDG ids may be
        missing; a line of the log says so.
        """
        flat = constituents_of(constituents)
        is_given = flat.pdg_id is not None
        if can_hide_identity and not is_given and spec.has_identity:
            log.info(f"no {PDG_ID}: the identity of the constituents is hidden from the model")
            spec = replace(spec, num_features=len(KINEMATIC_FEATURES))
        require_identity(is_given, spec)
        self.spec, jets = jet_by_jet(spec), len(flat.counts)
        if not flat.counts.all():
            raise UserError(
                f"constituents: jet {int(np.argmin(flat.counts))} (counted from 0) has none, and "
                f"{int((flat.counts == 0).sum()) - 1} more; leave such jets out"
            )
        self.num_jets = jets
        self.multiplicity = np.minimum(flat.counts, spec.max_constituents)
        self.edges = np.append(np.arange(0, jets, BLOCK_ROWS), jets)
        self._arrays = JetArrays(flat, np.zeros(jets, np.int64), None)
        self._arrays.require_gev(spec, SOURCE, "load a model that was trained on such jets")

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Float32 arrays of the jets at increasing `rows`, as from `JetFiles.gather`.

        data (n, P, F), jet (n, 4), pid (n, C) zeros since classes are unknown, weight (n,) ones.
        """
        first = int(rows[0])
        chunk = self._arrays.chunk(SOURCE, first, int(rows[-1]) + 1)
        if chunk.identity is not None:  # some datasets have the charge only
            chunk.identity = chunk.identity[:, : self.spec.num_features - len(KINEMATIC_FEATURES)]
        jets, index = prepare(chunk, self.spec, SOURCE), rows - first
        return {
            "data": pad(jets, self.spec.max_constituents)[:, 0][index],
            "jet": jets.records["jet"][:, 0][index],
            "pid": np.zeros((len(rows), self.spec.num_classes), np.float32),
            "weight": np.ones(len(rows), np.float32),
        }


def require_identity(is_given: bool, spec: DatasetSpec) -> None:
    """Raise UserError where the model needs PDG ids that are not given, or has no use for them."""
    needed = spec.has_identity
    if needed and not is_given:
        raise UserError(
            f"constituents: no {PDG_ID}; the model was trained on jets of {spec.title} with the "
            "identity of their constituents, so give it as a field or as a fifth column"
        )
    if is_given and not needed:
        raise UserError(
            f"constituents: {PDG_ID} is given, but the model was trained on jets of {spec.title}, "
            "without the identity of constituents; leave it out"
        )
