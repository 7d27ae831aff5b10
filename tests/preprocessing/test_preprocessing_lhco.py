"""The LHC Olympics: two jets and a dijet mass of raw events in every layout of pandas."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from damaged_files import MUTATIONS, survives
from golden import released_arrays
from public_order import in_public_order
from raw_dijets import raw_events, write

from omnilearn.data.catalogue import LHCO
from omnilearn.data.reader import JetFiles
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import jet_mass, sum_constituents, wrap_phi
from preprocessing import lhco
from simulation import lhco as simulated
from simulation.plan import OutputFile
from simulation.runner import produce

NAME = "events_anomalydetection_v2.h5"


@pytest.fixture
def raw(tmp_path):
    """put(table): writes these events as the public file; its folder."""

    def put(table: np.ndarray) -> Path:
        return write(tmp_path / "raw" / NAME, table).parent

    return put


def one_chunk(path: Path, table: np.ndarray, **options):
    (chunk,) = lhco.read(write(path, table, **options))
    return chunk


def two_halves(event: np.ndarray) -> list[np.ndarray]:
    """The particles (n, 4) pt, eta, phi, energy of the two jets of a raw event (2101,)."""
    pt, eta, phi = event[:2100].reshape(700, 3)[event[:2100:3] > 0].T
    near = np.abs(wrap_phi(phi - phi[0])) < np.pi / 2
    momenta = np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=1)
    halves = [momenta[near], momenta[~near]]
    return sorted(halves, key=lambda half: -sum_constituents(half)[0])


def test_the_two_jets_are_the_sums_of_their_particles_and_the_mass_is_that_of_both(tmp_path):
    table = raw_events()
    chunk = one_chunk(tmp_path / "raw.h5", table)
    assert not chunk.rejected
    np.testing.assert_array_equal(chunk.rows, np.arange(40))
    np.testing.assert_array_equal(chunk.label, table[:, 2100])
    first = np.cumsum(chunk.counts) - chunk.counts
    for event in range(40):
        halves = two_halves(table[event])
        for jet, half in zip((2 * event, 2 * event + 1), halves, strict=True):
            np.testing.assert_allclose(chunk.jet[jet], sum_constituents(half), rtol=1e-9)
            ours = chunk.constituents[first[jet] : first[jet] + chunk.counts[jet]]
            np.testing.assert_array_equal(ours, half[np.argsort(-half[:, 0])])
        both = jet_mass(np.concatenate(halves))
        assert chunk.observables[event, 0, 0] == pytest.approx(both, rel=1e-9)


def test_dijet_mass_and_regions_equal_the_released_ones():
    released = released_arrays("lhco")
    pt, eta, phi, mass = np.moveaxis(released["in.jets"][..., :4], -1, 0)
    assert np.abs(phi).max() == np.pi  # a jet on the seam of phi
    energy = np.hypot(pt * np.cosh(eta), mass)
    ours = jet_mass(np.stack([pt, eta, wrap_phi(phi), energy], axis=-1))
    np.testing.assert_allclose(ours, released["out.get_dimass"], rtol=1e-12)
    masses = released["in.mjj"]
    edges = sorted({*LHCO.signal_region, *np.ravel(LHCO.sidebands)})
    region = np.searchsorted(edges, masses, side="right")  # lower edges belong to the region
    different = ((region == 2) != released["out.mask_SR"]) | (
        np.isin(region, (1, 3)) != released["out.mask_SB"]
    )
    # a mass on an edge belongs to no region there
    assert masses[different].tolist() == [2300.0, 3300.0, 3700.0]


def test_the_constants_of_the_catalogue_are_the_released_ones():
    released = released_arrays("lhco")
    constants = LHCO.normalisation
    features = released["in.x"]
    real = (features != 0).any(axis=-1)
    ours = (features - constants.feature_mean[:7]) / constants.feature_std[:7]
    np.testing.assert_allclose(ours[real], released["out.preprocess"][real], rtol=1e-6, atol=1e-9)
    # the released mean of eta is -5e-5; its phi becomes a quantile, ours is no input of the model
    jets, theirs = released["in.jets"][..., [0, 1, 3, 4]], released["out.preprocess_jet"]
    ours = (jets - constants.jet_mean) / constants.jet_std
    np.testing.assert_allclose(ours, theirs[..., [0, 1, 3, 4]], atol=1e-4)


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.parametrize("compression", [None, "zlib", "blosc"])
def test_every_layout_and_compression_gives_the_same_jets(tmp_path, layout, compression):
    table = raw_events(12)
    expected = one_chunk(tmp_path / "plain.h5", table, format="fixed")
    frame = pd.DataFrame(table).astype({2100: np.int64})  # the label in a block of its own
    path = tmp_path / "pandas.h5"
    frame.to_hdf(path, key="events", format=layout, complib=compression, complevel=4)
    (ours,) = lhco.read(path)
    for name in ("constituents", "counts", "jet", "label", "observables"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(expected, name))


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_names_and_numbers_of_columns_may_be_mixed(tmp_path, layout):
    table = raw_events(12)
    expected = one_chunk(tmp_path / "plain.h5", table)
    frame = pd.DataFrame(table).rename(columns={2100: "label"})[["label", *range(2099, -1, -1)]]
    frame.to_hdf(tmp_path / "pandas.h5", key="df", format=layout)
    (ours,) = lhco.read(tmp_path / "pandas.h5")
    np.testing.assert_array_equal(ours.constituents, expected.constituents)
    np.testing.assert_array_equal(ours.label, expected.label)


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_columns_of_jets_in_the_extra_background_are_ignored(tmp_path, layout):
    table = raw_events(12)
    expected = one_chunk(tmp_path / "plain.h5", table)
    names = [f"p{axis}_{slot}" for slot in range(700) for axis in "xyz"]
    frame = pd.DataFrame(table[:, :2100], columns=names)
    high_level = pd.DataFrame(np.ones((12, 4)), columns=["pxj1", "mj1", "pxj2", "tau1j2"])
    frame = pd.concat([high_level, frame[sorted(names)]], axis=1)
    frame.to_hdf(tmp_path / lhco.EXTRA, key="df", format=layout)
    (ours,) = lhco.read(tmp_path / lhco.EXTRA)
    np.testing.assert_array_equal(ours.constituents, expected.constituents)
    np.testing.assert_array_equal(ours.observables, expected.observables)
    assert not ours.label.any()


def test_columns_without_a_number_are_taken_in_the_order_of_the_file(tmp_path):
    table = raw_events(12)
    names = [f"{axis} of {slot}" for slot in range(700) for axis in ("pt", "eta", "phi")]
    ours = one_chunk(tmp_path / "named.h5", table, columns=[*names, "label"])
    expected = one_chunk(tmp_path / "plain.h5", table)
    np.testing.assert_array_equal(ours.constituents, expected.constituents)
    np.testing.assert_array_equal(ours.label, expected.label)


def test_the_jets_do_not_depend_on_the_chunks(tmp_path):
    path = write(tmp_path / "raw.h5", raw_events(20))
    (single,) = lhco.read(path)
    chunks = list(lhco.read(path, chunk_rows=7))
    assert [len(chunk.label) for chunk in chunks] == [7, 7, 6]
    for name in ("constituents", "counts", "jet", "label", "rows", "observables"):
        values = np.concatenate([getattr(chunk, name) for chunk in chunks])
        np.testing.assert_array_equal(values, getattr(single, name))
    assert lhco.count(path) == 20


def test_events_below_the_trigger_or_without_two_jets_are_counted(raw, convert, tmp_path):
    table = raw_events(30)
    table[:4, :2100:3] *= 0.7  # 1.05 TeV
    table[4:7, 1:2100:3] += np.where(table[4:7, :2100:3] > 0, 4.2, 0)  # beyond |eta| = 2.5
    for event in (7, 8):  # one jet alone
        particles = two_halves(table[event])[0][:, :3]
        table[event, :2100] = 0
        table[event, : particles.size] = particles.ravel()
    table[9, :2100] = 0
    printed = convert("lhco", "--raw", raw(table))
    assert "3 events without two jets: left out" in printed
    assert "7 events without a leading jet above 1200 GeV in |eta| < 2.5: left out" in printed
    rows = in_public_order(tmp_path / "lhco")["source"][:, 1]
    np.testing.assert_array_equal(rows, np.arange(10, 30))


def test_splits_share_no_event_and_events_are_complete(raw, convert, tmp_path):
    table = raw_events(200, counts=5)
    convert("lhco", "--raw", raw(table))
    rows_of_splits = []
    for split, share in LHCO.splits:
        path = tmp_path / f"lhco/{split}/lhco_{split}_000.h5"
        with h5py.File(path) as file:
            rows = file["source"][:, 1]
            assert file["data"].shape == (len(rows), 2, 279, 7)
            assert file["jet"].shape == (len(rows), 2, 5)
            assert list(attributes(file)["observables"]) == ["dijet_mass"]
            np.testing.assert_array_equal(file["pid"], table[rows, 2100])
            mass = [jet_mass(np.concatenate(two_halves(table[row]))) for row in rows]
            np.testing.assert_allclose(file["observables"][:, 0], mass, rtol=1e-6)
            assert (file["jet"][:, 0, 0] >= file["jet"][:, 1, 0]).all()
        rows_of_splits += rows.tolist()
        assert len(rows) == pytest.approx(200 * share, abs=20)
    assert sorted(rows_of_splits) == list(range(200))


def test_jets_across_the_seam_of_phi_are_the_same(tmp_path):
    table = raw_events(10)
    turned = table.copy()
    turned[:, 2:2100:3] = np.where(table[:, :2100:3] > 0, table[:, 2:2100:3] - 2.9, 0)
    turned[:, 2:2100:3] = wrap_phi(turned[:, 2:2100:3])
    before = one_chunk(tmp_path / "before.h5", table)
    after = one_chunk(tmp_path / "after.h5", turned)
    np.testing.assert_array_equal(after.counts, before.counts)
    np.testing.assert_allclose(after.jet[:, [0, 1, 3]], before.jet[:, [0, 1, 3]], rtol=1e-9)
    np.testing.assert_allclose(after.observables, before.observables, rtol=1e-9)


@pytest.mark.parametrize(("size", "kept"), [(1, 1), (279, 279), (330, 279)])
def test_jets_of_one_constituent_and_of_more_than_the_slots(raw, convert, tmp_path, size, kept):
    convert("lhco", "--raw", raw(raw_events(20, counts=size)))
    with h5py.File(tmp_path / "lhco/train/lhco_train_000.h5") as file:
        assert (file["multiplicity"][:] == min(size, 279)).all() or size > 279
        assert (file["jet"][..., 4] == size).all()
        data = file["data"][:]
    assert np.isfinite(data).all()
    assert ((data != 0).any(-1).sum(-1) == kept).all()
    assert (np.diff(data[..., :kept, 3], axis=-1) <= 0).all()


@pytest.mark.parametrize(("factor", "words"), [(1000, "looks like MeV"), (1e-3, "looks like TeV")])
def test_another_unit_is_refused(raw, refused, factor, words):
    table = raw_events()
    table[:, :2100:3] *= factor
    assert words in refused("lhco", "--raw", raw(table))


def test_cartesian_momenta_are_refused(raw, refused):
    table = raw_events()
    pt, eta, phi = (table[:, place:2100:3].copy() for place in range(3))
    table[:, :2100:3], table[:, 1:2100:3] = pt * np.cos(phi), pt * np.sin(phi)
    table[:, 2:2100:3] = pt * np.sinh(eta)
    message = refused("lhco", "--raw", raw(table))
    assert "in event 0 (counted from 0)" in message
    assert "the columns must be pt, eta, phi" in message


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (30, np.nan, "pt of a particle is not a finite number in event 11"),
        (31, np.inf, "eta of a particle is not a finite number in event 11"),
        (31, 1e3, "a particle has an impossible pt, eta or phi in event 11"),
        (30, 1e300, "a particle has an impossible pt, eta or phi in event 11"),
        (2100, 2.0, "the label is 2 in event 11"),
        (2100, np.nan, "the label is nan in event 11"),
    ],
)
def test_an_impossible_number_names_its_event(raw, refused, column, value, words):
    table = raw_events()
    table[11, column] = value
    assert words in refused("lhco", "--raw", raw(table))


def test_a_table_without_events_is_named_as_such(raw, refused):
    message = refused("lhco", "--raw", raw(raw_events()[:0]))
    assert "events_anomalydetection_v2.h5: the table 'df' has no events" in message


@pytest.mark.parametrize("columns", [2100, 2098, 2104])
def test_another_number_of_columns_is_refused(raw, refused, columns):
    table = np.pad(raw_events(), [(0, 0), (0, 4)])[:, :columns]
    message = refused("lhco", "--raw", raw(table))
    assert f"has {columns} columns" in message
    assert "the public file has 2100 and 1" in message


@pytest.mark.parametrize("name", ["events_anomalydetection_tiny.h5", "events_anomalydetection.h5"])
def test_any_name_of_the_events_is_found_beside_tables_of_features(tmp_path, name):
    for file_name in (name, "events_anomalydetection_v2.features.h5", lhco.EXTRA):
        write(tmp_path / file_name, raw_events(2))
    assert [shard.sources[0].name for shard in lhco.shards(tmp_path)] == [name, lhco.EXTRA]


def test_missing_and_duplicate_files_are_named(raw, refused, tmp_path):
    (tmp_path / "raw").mkdir()
    for name in ("events_anomalydetection_v2.features.h5", "events.h5"):
        (tmp_path / "raw" / name).touch()
    message = refused("lhco")
    assert "holds no events_anomalydetection*.h5 or events_LHCO2020_*.h5 with the part" in message
    assert "but events.h5, events_anomalydetection_v2.features.h5" in message
    raw(raw_events())
    write(tmp_path / "raw/events_anomalydetection.h5", raw_events())
    message = refused("lhco")
    assert "are versions or parts of the same events" in message


def test_a_file_without_a_table_or_with_two_or_cut_off_is_refused(raw, refused):
    path = raw(raw_events()) / NAME
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "truncated or damaged" in refused("lhco")
    path.write_bytes(content)
    pd.DataFrame(raw_events()).to_hdf(path, key="more")
    assert "has several pandas tables: df, more" in refused("lhco")
    with h5py.File(path, "w") as file:
        file["released"] = np.zeros(3)
    assert "has no pandas table: released" in refused("lhco")


def test_a_file_without_a_selected_event_is_refused(raw, refused):
    assert "none of 40 rows is left" in refused("lhco", "--raw", raw(raw_events(pt=1100)))
    assert "40 events without two jets" in refused("lhco", "--raw", raw(0 * raw_events()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_damaged_files_are_refused_in_a_sentence(tmp_path, layout):
    path = tmp_path / NAME
    write(path, raw_events(8, counts=4), format=layout, complib="blosc", complevel=4)
    assert survives("lhco", path, tmp_path / "out") > MUTATIONS // 12


def test_a_simulated_sample_becomes_pairs_of_jets_that_a_training_reads(convert, tmp_path):
    path = tmp_path / "raw" / simulated.FILE_NAME
    produce(simulated.CARD, [OutputFile(path, "train", (6, 6, 0))], seed=2, workers=1)
    printed = convert("lhco")
    assert "left out" not in printed  # the trigger was that of the reader
    assert " events (background " in printed
    events = 0
    for split_file in tmp_path.rglob("lhco_*.h5"):
        with JetFiles([split_file], LHCO) as files:
            jets = files.read(0, files.num_jets)
            events += files.num_jets // 2
        leading = jets["jet"][::2, 0]
        assert (leading > 1200).all()
        assert (jets["pid"][::2] == jets["pid"][1::2]).all()
    assert events == 12
