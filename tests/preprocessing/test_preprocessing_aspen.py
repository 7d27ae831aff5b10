"""Aspen Open Jets: PUPPI weights, impact parameters, the mass of a calibrated jet."""

from pathlib import Path

import flat_files
import numpy as np
import pytest
from public_order import in_public_order

from omnilearn.data.catalogue import ASPEN
from preprocessing import aspen
from preprocessing.jet_chunk import prepare


@pytest.fixture
def columns(toy_jets):
    return flat_files.columns("aspen", toy_jets)


def chunk(columns):
    return aspen.chunk(columns["PFCands"], columns["jet_kinematics"], Path("aspen"), 0)


def test_momenta_are_weighted_and_weight_zero_is_no_constituent(columns):
    unweighted = chunk(columns)
    columns["PFCands"][:, 0, 10] = 0.0
    columns["PFCands"][:, 1, 10] = 0.25
    weighted = chunk(columns)
    np.testing.assert_array_equal(weighted.counts, unweighted.counts - 1)
    first = np.cumsum(unweighted.counts) - unweighted.counts
    new_first = np.cumsum(weighted.counts) - weighted.counts
    np.testing.assert_allclose(
        weighted.constituents[new_first][:, [0, 3]],
        0.25 * unweighted.constituents[first + 1][:, [0, 3]],
    )
    np.testing.assert_allclose(
        weighted.constituents[new_first][:, 1:3], unweighted.constituents[first + 1][:, 1:3]
    )


def test_the_mass_is_that_of_the_weighted_sum_scaled_as_the_pt_and_not_the_groomed_one(columns):
    jets = columns["jet_kinematics"]
    jets[:, 0] *= 1.1  # the correction
    candidates = columns["PFCands"].astype(np.float64)
    candidates[..., 10] = np.random.default_rng(0).uniform(0.2, 1, candidates.shape[:2])
    columns["PFCands"] = candidates
    px, py, pz, energy = (candidates[..., :4] * candidates[..., 10:]).sum(axis=1).T
    mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    stored_jets = prepare(chunk(columns), ASPEN, Path("aspen")).records["jet"][:, 0]
    np.testing.assert_allclose(stored_jets[:, 2], mass * jets[:, 0] / np.hypot(px, py), rtol=1e-4)
    np.testing.assert_allclose(stored_jets[:, :2], jets[:, :2], rtol=1e-6)
    jets[:, 3] = 1000.0
    again = prepare(chunk(columns), ASPEN, Path("aspen")).records["jet"][:, 0]
    np.testing.assert_array_equal(again, stored_jets)


def test_impact_parameters_stay_as_stored_and_take_no_part_in_the_features(columns):
    expected = chunk(columns)
    columns["PFCands"][..., 4:8] = np.nan
    changed = chunk(columns)
    np.testing.assert_array_equal(changed.constituents, expected.constituents)
    np.testing.assert_array_equal(changed.identity, expected.identity)
    assert np.isnan(changed.constituent_extra[:, :4]).all()
    real = columns["PFCands"][..., 0] != 0
    np.testing.assert_array_equal(
        changed.constituent_extra[:, 4:], columns["PFCands"][real][:, [10, 9]]
    )


def test_tagging_variables_and_event_numbers_stay_in_the_files(columns, tmp_path, convert):
    columns["event_info"] = np.arange(150).reshape(50, 3) + 2**40  # more than a float32 holds
    columns["jet_tagging"] = np.random.default_rng(0).uniform(size=(50, 13)).astype(np.float32)
    flat_files.write(tmp_path / "raw/RunG_batch0.h5", columns)
    convert("aspen")
    extra = in_public_order(tmp_path / "aspen")["jet_extra"]
    np.testing.assert_array_equal(extra[:, :3], columns["event_info"])
    np.testing.assert_array_equal(extra[:, 3:5], columns["jet_kinematics"][:, 2:])
    np.testing.assert_array_equal(extra[:, 5:], columns["jet_tagging"])


def test_tagging_variables_of_another_width_are_nan_and_reported(columns, tmp_path, convert):
    columns["jet_tagging"] = columns["jet_tagging"][:, :8]
    flat_files.write(tmp_path / "raw/RunG_batch0.h5", columns)
    printed = convert("aspen")
    assert "no jet_tagging of 13 columns: NaN is kept" in printed
    assert np.isnan(in_public_order(tmp_path / "aspen")["jet_extra"][:, 5:]).all()


def test_charge_and_flags_follow_the_pdg_id(columns):
    real = columns["PFCands"][..., 0] != 0
    pdg_id = columns["PFCands"][real][:, 9]
    identity = chunk(columns).identity
    np.testing.assert_array_equal(identity[:, 0], columns["PFCands"][real][:, 8])
    for column, species in enumerate((211, 130, 22, 11, 13), 1):
        np.testing.assert_array_equal(identity[:, column], np.abs(pdg_id) == species)


def test_the_order_of_the_file_does_not_matter(columns):
    expected = prepare(chunk(columns), ASPEN, Path("aspen"))
    columns["PFCands"] = np.random.default_rng(0).permutation(columns["PFCands"], axis=1)
    shuffled = prepare(chunk(columns), ASPEN, Path("aspen"))
    np.testing.assert_allclose(shuffled.features, expected.features, atol=1e-6)
    assert (np.diff(shuffled.features[: shuffled.kept[0], 3]) <= 0).all()


def test_jets_whose_weights_are_all_zero_are_left_out(columns):
    columns["PFCands"][5:9, :, 10] = 0
    assert prepare(chunk(columns), ASPEN, Path("aspen")).dropped_empty == 4


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (10, 1.5, "puppiWeight is not between 0 and 1 in jet 7"),
        (10, -1.0, "puppiWeight is not between 0 and 1 in jet 7"),
        (9, 17.0, "holds the particle 17"),
    ],
)
def test_columns_of_another_meaning_are_refused(columns, refused, tmp_path, column, value, message):
    columns["PFCands"][7, 0, column] = value
    flat_files.write(tmp_path / "raw/RunG_batch0.h5", columns)
    assert message in refused("aspen")


def test_a_public_file_keeps_its_number_however_many_have_arrived(columns, tmp_path):
    for name in ("RunG_batch3.h5", "RunG_batch20.h5", "RunH_batch0.h5"):
        flat_files.write(tmp_path / name, columns)
    assert sorted(shard.index for shard in aspen.shards(tmp_path)) == [3, 20, 40]
    assert len({file.name for file in aspen.REMOTE}) == 80


def test_another_file_name_is_refused(columns, refused, tmp_path):
    flat_files.write(tmp_path / "raw/RunG_batch40.h5", columns)
    assert "is no public file name" in refused("aspen")
