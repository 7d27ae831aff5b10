"""Quality of a tokeniser: encoded and decoded jets against the original ones.

As in arXiv:2403.05618: use of the codebook, resolution of jet mass, pT and substructure, and the
AUC of a DeepSets classifier between original and reconstructed jets, which are different jets.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnilearn.config import Config
from omnilearn.content import hashed
from omnilearn.data.jet_source import JetSource
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import Pipeline, Standardisation, pad_batch
from omnilearn.data.selection import selected_jets
from omnilearn.data.spec import TOKEN_FEATURES, DatasetSpec, JetLabel
from omnilearn.fit import fit, fresh, load_best, pet_objective
from omnilearn.generation.jet_sets import jets_of_constituents
from omnilearn.recipes import TWO_SAMPLES
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import auc
from omnilearn.tagging.task import predict
from omnilearn.tokens.metrics import codebook_use, resolutions
from omnilearn.tokens.sampling import padded_batches
from omnilearn.tokens.settings import TokenEvaluation
from omnilearn.tokens.token_files import read_tokens, write_tokens
from omnilearn.tokens.token_models import fingerprint
from omnilearn.tokens.tokeniser import COLUMNS, Tokeniser, TokeniserConfig, token_inputs
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig

QUALITY_JETS = 10_000  # at most
RESTORED_JETS, RESTORED_BATCH = 128, 16  # for the restored variance, which is logged
SAMPLES = (JetLabel("original", "original", "#4d4d4d"), JetLabel("restored", "restored", "#bd1f01"))
TWO_SAMPLE_JETS = 20_000  # of training; validation and test have half as many


class RoundTrip:
    """Compiled encoding and decoding of batches."""

    def __init__(self, tokeniser: Tokeniser, slots: int):
        def inputs_and_codes(batch):
            features, mask = token_inputs(batch, tokeniser.config)
            return features, mask, tokeniser.encode(features, mask)

        self._encode = compiled_for_batches(inputs_and_codes, slots)
        self._decode = compiled_for_batches(
            lambda batch: tokeniser.decode(batch["code"], batch["mask"]), slots
        )

    def encode(self, batch: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scaled input features (B, L, 3), their mask (B, L), codes (B, L)."""
        features, mask, code = self._encode({key: batch[key] for key in ("constituents", "mask")})
        return np.asarray(features), np.asarray(mask), np.asarray(code)

    def decode(self, code: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Scaled features (B, L, 3) of codes (B, L)."""
        return np.asarray(self._decode({"code": np.int32(code), "mask": mask}))


class HalfReconstructed(Pipeline):
    """Every other jet encoded and decoded, with label 1; the others original, with label 0.

    Constituents are those in reach of the tokeniser, with the tokenised features alone; the inputs
    of the jet are zero.
    """

    def __init__(self, round_trip: RoundTrip, *arguments):
        super().__init__(*arguments)
        self.spec = replace(self.spec, labels=SAMPLES)
        self._round_trip = round_trip

    def _read(self, rows, batches):
        for batch in super()._read(rows, batches):
            is_restored = batch["index"] % 2
            jets = len(is_restored)
            features, mask, code = self._round_trip.encode(pad_batch(batch, self.batch_size))
            restored = self._round_trip.decode(code, mask)
            constituents = np.zeros_like(batch["constituents"])
            constituents[..., COLUMNS] = np.where(
                is_restored[:, None, None] > 0, restored[:jets], features[:jets]
            )
            yield {
                **batch,
                "constituents": constituents,
                "mask": mask[:jets],
                "label": np.eye(2, dtype="float32")[is_restored],
                "jet": np.zeros_like(batch["jet"]),
            }


def tokeniser_quality(
    run: Path, spec: DatasetSpec, tokeniser: Tokeniser, config: Config, settings: TokenEvaluation
) -> dict:
    """{"data": origin, "tokeniser": metrics}; writes the tokens of the split to RUN/tokens.h5."""
    data = settings.data or config.data
    paths, path = find_files(Path(data), spec, settings.split), run / "tokens.h5"
    files, _ = selected_jets(paths, spec, min(settings.jets, QUALITY_JETS), config.classes)
    round_trip = RoundTrip(tokeniser, spec.max_constituents)
    codebook, num_codes = fingerprint(tokeniser), tokeniser.config.num_codes
    about = {"dataset": spec.name, "split": settings.split, "jets": files.num_jets}
    if settings.from_predictions:
        tokens, index = read_tokens(path, codebook, num_codes, about)
    else:
        pipeline = Pipeline(files, spec, settings.batch, *distributed.rank_and_size())
        tokens, index = tokens_of(pipeline, round_trip)
        if distributed.rank() == 0:
            write_tokens(path, tokens, index, codebook, num_codes, about)
    features, mask = read_constituents(files, spec, index, tokeniser.config)
    original = Standardisation(spec).original_constituents(features, mask, TOKEN_FEATURES)
    filled = int(files.multiplicity[index].sum())
    metrics = codebook_use(tokens[mask > 0], num_codes)
    metrics["out_of_reach"] = Result(1 - float(mask.sum()) / filled, None, filled)
    restored = restored_features(round_trip, spec, tokens, mask, settings.batch)
    label = np.zeros(len(index), int)
    jets, restored_jets = (
        jets_of_constituents(features, mask > 0, label) for features in (original, restored)
    )
    metrics |= resolutions(
        jets, restored_jets, original, restored, mask, spec.jet_radius, config.seed
    )
    metrics["two_sample_auc"] = two_sample_auc(run, spec, round_trip, data, config)
    return {"data": files.origin, "tokeniser": metrics}


def read_constituents(
    files: JetSource, spec: DatasetSpec, rows: np.ndarray, config: TokeniserConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Tokeniser inputs of the jets in these rows: scaled features (N, P, 3) and mask (N, P)."""
    filled = (np.arange(spec.max_constituents) < files.multiplicity[rows, None]).astype("float32")
    data = files.gather(rows)["data"]
    scaled = Standardisation(spec).constituents(data, np.arange(len(rows)), filled)
    features, mask = token_inputs({"constituents": scaled, "mask": filled}, config)
    return np.asarray(features), np.asarray(mask)


def variance_restored(files: JetSource, spec: DatasetSpec, tokeniser: Tokeniser) -> float:
    """Share of the variance of the scaled features of the first jets that decoding restores.

    Near one if the tokeniser suits the jets, near zero or below if it does not.
    """
    rows = np.arange(min(files.num_jets, RESTORED_JETS))
    features, mask = read_constituents(files, spec, rows, tokeniser.config)
    error = 0.0
    for batch in np.array_split(rows, -(-len(rows) // RESTORED_BATCH)):  # (B, P, codes) is large
        code = tokeniser.encode(features[batch], mask[batch])
        restored = np.asarray(tokeniser.decode(code, mask[batch]))
        error += float(np.square(restored - features[batch])[mask[batch] > 0].sum())
    real = features[mask > 0]
    return 1 - error / max(float(np.square(real - real.mean(axis=0)).sum()), 1e-9)


def tokens_of(pipeline: Pipeline, round_trip: RoundTrip) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, P) of all jets of a split, on all ranks, zero in empty slots, and rows (N,)."""
    codes, index = [np.zeros((0, pipeline.spec.max_constituents), "int32")], [np.zeros(0, int)]
    for batch in pipeline.ordered():
        jets, slots = batch["mask"].shape
        _, mask, code = round_trip.encode(pad_batch(batch, pipeline.batch_size))
        code = code[:jets] * (mask[:jets] > 0)
        codes.append(np.pad(code, ((0, 0), (0, codes[0].shape[1] - slots))).astype("int32"))
        index.append(batch["index"])
    tokens, rows = (distributed.allgather(np.concatenate(parts)) for parts in (codes, index))
    order = np.argsort(rows, kind="stable")
    return tokens[order], rows[order]


def restored_features(
    round_trip: RoundTrip, spec: DatasetSpec, codes: np.ndarray, mask: np.ndarray, batch: int
) -> np.ndarray:
    """Unscaled TOKEN_FEATURES (N, P, 3) of codes (N, P)."""
    features = np.empty((*codes.shape, len(TOKEN_FEATURES)), "float32")
    for rows, padded in padded_batches(len(codes), batch):
        features[rows] = round_trip.decode(codes[padded], mask[padded])[: len(rows)]
    return Standardisation(spec).original_constituents(features, mask, TOKEN_FEATURES)


def two_sample_auc(run: Path, spec: DatasetSpec, round_trip: RoundTrip, data: str, config: Config):
    """AUC of a DeepSets between original and reconstructed test jets; 0.5 if they do not differ."""
    settings = replace(Config(**TWO_SAMPLES), seed=config.seed, data=data)
    ranks = distributed.rank_and_size()

    def opened(split: str, jets: int) -> HalfReconstructed:
        files, _ = selected_jets(find_files(Path(data), spec, split), spec, jets, config.classes)
        batch = min(settings.batch, files.num_jets // ranks[1])
        return HalfReconstructed(round_trip, files, spec, batch, *ranks, config.seed)

    training, validation, test = (
        opened(split, TWO_SAMPLE_JETS // divisor)
        for split, divisor in (("train", 1), ("val", 2), ("test", 2))
    )
    sizes = DeepSetsConfig(max_constituents=spec.max_constituents)
    network = fresh(DeepSets, sizes, config.seed)
    about = {"task": "two samples", "dataset": spec.name}
    # a finished training is that of other jets with another --data
    sources = json.dumps([training.sources(), validation.sources()])
    run = run / "two_samples" / hashed(sources.encode())
    fit(pet_objective(network, settings), settings, (training, validation), run, about)
    load_best(network, run)
    predicted = predict(network, test)
    logit = predicted["logits"][:, 1] - predicted["logits"][:, 0]
    return auc(logit, predicted["label"], predicted["weight"])
