"""The top tagging reference in every layout and compression that pandas writes."""

import h5py
import numpy as np
import pandas as pd
import pytest

from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import from_cartesian, jet_mass
from preprocessing import top
from preprocessing.jet_chunk import CHUNK_ROWS

TRAIN = ("--splits", "train")  # alone


def as_frame(table: np.ndarray, floats: str = "float32", labels: str = "int64") -> pd.DataFrame:
    frame = pd.DataFrame(table[:, :804].astype(floats), columns=top.COLUMNS[:804])
    integers = pd.DataFrame(table[:, 804:].astype(labels), columns=top.COLUMNS[804:])
    return pd.concat([frame, integers], axis=1)


def read_all(path):
    """(constituents, counts, jets, labels) of a whole file."""
    chunks = list(top.read(path))
    return tuple(
        np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("constituents", "counts", "jet", "label")
    )


def assert_same_jets(path, expected, tolerance: float = 0.0):
    """Compare the jets of a file with those that `read_all` gave of another one."""
    for ours, theirs in zip(read_all(path), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.parametrize(
    "compression", [None, "zlib", "bzip2", "blosc", "blosc:zstd", "blosc:lz4hc"]
)
def test_every_layout_and_compression_gives_the_same_jets(
    top_table, write_top, tmp_path, layout, compression
):
    table = top_table(300)
    as_frame(table).to_hdf(
        tmp_path / "pandas.h5", key="table", format=layout, complib=compression, complevel=5
    )
    assert_same_jets(tmp_path / "pandas.h5", read_all(write_top(tmp_path / "plain.h5", table)))


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.parametrize(
    ("floats", "labels"), [("float64", "float64"), ("float64", "int8"), ("float32", "uint8")]
)
def test_other_number_types_give_the_same_jets(
    top_table, write_top, tmp_path, layout, floats, labels
):
    table = top_table(40)
    as_frame(table, floats, labels).to_hdf(tmp_path / "pandas.h5", key="table", format=layout)
    expected = read_all(write_top(tmp_path / "plain.h5", table))
    assert_same_jets(tmp_path / "pandas.h5", expected, tolerance=1e-5)


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_columns_of_another_order_are_found_by_their_names(top_table, write_top, tmp_path, layout):
    table = top_table(40)
    frame = as_frame(table)
    frame = frame[list(np.random.default_rng(3).permutation(frame.columns))]
    frame = frame.astype({"is_signal_new": bool})  # a block of its own, stored before the others
    frame.to_hdf(tmp_path / "pandas.h5", key="table", format=layout)
    assert_same_jets(tmp_path / "pandas.h5", read_all(write_top(tmp_path / "plain.h5", table)))


@pytest.mark.parametrize("key", ["table", "events"])
def test_categories_are_read_by_their_values_and_not_by_their_codes(
    top_table, write_top, tmp_path, key
):
    table = top_table(40)
    frame = as_frame(table)
    frame["is_signal_new"] = pd.Categorical(frame["is_signal_new"], categories=[1, 0])
    frame.to_hdf(tmp_path / "pandas.h5", key=key, format="table")
    assert_same_jets(tmp_path / "pandas.h5", read_all(write_top(tmp_path / "plain.h5", table)))


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        ([1], "table/is_signal_new is not a finite number in jet"),  # 0 is a missing value
        (["top", "QCD"], "holds categories of |S3 and no numbers; drop that column or make it"),
    ],
)
def test_categories_that_are_missing_or_text_are_refused(
    top_table, refused, tmp_path, categories, words
):
    frame = as_frame(top_table(40))
    labels = frame["is_signal_new"]
    labels = labels[labels == 1] if categories == [1] else labels.map({0: "QCD", 1: "top"})
    frame["is_signal_new"] = labels.astype(pd.CategoricalDtype(categories))
    (tmp_path / "raw").mkdir()
    frame.to_hdf(tmp_path / "raw/train.h5", key="table", format="table")
    assert words in refused("top", *TRAIN)


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.parametrize("order", ["types", "any"])
def test_columns_with_numbers_in_place_of_names_are_in_the_public_order(
    top_table, write_top, tmp_path, layout, order
):
    table = top_table(40)
    frame = pd.DataFrame(table.astype("f4"))
    if order == "types":  # the label is stored before ttv, whose type came later
        frame = frame.astype({804: "i8"}).astype({805: "i4"})
    else:
        frame = frame[list(np.random.default_rng(3).permutation(806))]
    frame.to_hdf(tmp_path / "pandas.h5", key="table", format=layout)
    assert_same_jets(tmp_path / "pandas.h5", read_all(write_top(tmp_path / "plain.h5", table)))


def test_names_of_several_levels_are_refused(top_table, refused, tmp_path):
    frame = as_frame(top_table(40))
    frame.columns = pd.MultiIndex.from_product([["jet"], frame.columns])
    (tmp_path / "raw").mkdir()
    frame.to_hdf(tmp_path / "raw/train.h5", key="table", format="table")
    assert "806 columns of 'table' have no plain names but jet, E_0" in refused("top", *TRAIN)


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_columns_that_are_not_read_may_be_absent(top_table, write_top, tmp_path, layout):
    table = top_table(40)
    frame = as_frame(table).drop(columns=[*top.COLUMNS[800:804], "ttv"])
    frame.to_hdf(tmp_path / "pandas.h5", key="table", format=layout)
    assert_same_jets(tmp_path / "pandas.h5", read_all(write_top(tmp_path / "plain.h5", table)))


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_columns_of_other_names_are_not_taken_by_their_order(top_table, refused, tmp_path, layout):
    frame = as_frame(top_table(40)).rename(columns={"is_signal_new": "signal"})
    (tmp_path / "raw").mkdir()
    frame[["signal", *frame.columns[:-1]]].to_hdf(
        tmp_path / "raw/train.h5", key="table", format=layout
    )
    message = refused("top", *TRAIN)
    assert "train.h5: the table 'table' has no column is_signal_new but" in message


@pytest.mark.parametrize("chunk_rows", [1, 7, 64])
def test_the_size_of_the_stored_chunks_does_not_matter(top_table, tmp_path, chunk_rows):
    table = top_table(2 * 64 + 3)
    frame = as_frame(table)
    with pd.HDFStore(tmp_path / "pandas.h5", "w", complib="blosc", complevel=1) as store:
        for first in range(0, len(frame), 50):
            store.append("table", frame[first : first + 50], chunksize=chunk_rows)
    _, counts, _, labels = read_all(tmp_path / "pandas.h5")
    np.testing.assert_array_equal(labels, table[:, 805])
    np.testing.assert_array_equal(counts, (table[:, :800:4] > 0).sum(axis=1))


def test_attributes_of_type_text_are_read(top_table, tmp_path):
    as_frame(top_table(20)).to_hdf(tmp_path / "pandas.h5", key="table", format="table")
    expected = read_all(tmp_path / "pandas.h5")
    with h5py.File(tmp_path / "pandas.h5", "r+") as file:
        for name, value in attributes(file["table/table"]).items():
            if isinstance(value, str):
                file["table/table"].attrs[name] = value
    assert_same_jets(tmp_path / "pandas.h5", expected)


def test_chunks_cover_a_file_longer_than_one(top_table, write_top, tmp_path):
    path = write_top(tmp_path / "train.h5", np.tile(top_table(50), (100, 1)))
    first_rows = [chunk.rows[0] for chunk in top.read(path)]
    assert first_rows == [0, CHUNK_ROWS]
    assert len(read_all(path)[1]) == 5000 == top.count(path)


def test_the_jet_is_the_sum_of_all_its_constituents(top_table, write_top, convert, tmp_path):
    table = top_table(50)
    write_top(tmp_path / "raw/train.h5", table)
    printed = convert("top", *TRAIN)
    assert "test: no public files found" in printed
    momenta = from_cartesian(table[:, :800].reshape(50, 200, 4)[..., [1, 2, 3, 0]])
    with h5py.File(tmp_path / "top/train/top_train_000.h5") as file:
        assert file["data"].shape == (50, 150, 7)
        assert file["pid"].dtype == np.int8
        np.testing.assert_allclose(
            np.sort(file["jet"][:, 2]), np.sort(jet_mass(momenta)), rtol=1e-3
        )
        np.testing.assert_array_equal(file["weight"], 1.0)
        assert file["pid"][:].sum() == table[:, 805].sum()


def test_splits_are_the_public_files(write_top, convert, tmp_path):
    for seed, split in enumerate(("train", "val", "test")):
        write_top(tmp_path / f"raw/{split}.h5", seed=seed)
    convert("top")
    for split in ("train", "val", "test"):
        with h5py.File(tmp_path / f"top/{split}/top_{split}_000.h5") as file:
            assert attributes(file)["split"] == split
            assert list(attributes(file)["sources"]) == [f"{split}.h5"]


def test_files_of_other_names_are_listed(write_top, convert, tmp_path):
    for name in ("train.h5", "val.h5", "TEST.H5", "train (1).h5", "notes.txt"):
        write_top(tmp_path / "raw" / name, seed=len(name))
    printed = convert("top")
    assert "names are none of the public files of Top tagging: TEST.H5, train (1).h5" in printed


def test_a_link_to_a_file_that_is_gone_is_no_missing_split(write_top, refused, tmp_path):
    write_top(tmp_path / "raw/train.h5")
    write_top(tmp_path / "raw/val.h5", seed=1)
    (tmp_path / "raw/test.h5").symlink_to(tmp_path / "gone.h5")
    assert "test.h5 is no file, or a link to one that is gone" in refused("top")


def test_a_missing_split_is_reported_with_the_files_that_are_there(write_top, refused, tmp_path):
    write_top(tmp_path / "raw/train (1).h5")
    write_top(tmp_path / "raw/val.h5")
    message = refused("top")
    assert "no train files" in message
    assert "raw holds train (1).h5, val.h5; get them" in message


def test_a_table_in_px_py_pz_e_order_is_refused(top_table, write_top, refused, tmp_path):
    table = top_table(50)
    table[:, :800] = table[:, :800].reshape(50, 200, 4)[..., [1, 2, 3, 0]].reshape(50, 800)
    write_top(tmp_path / "raw/train.h5", table)
    assert "less energy than momentum" in refused("top", *TRAIN)


def test_a_table_of_805_columns_is_refused(top_table, write_top, refused, tmp_path):
    write_top(tmp_path / "raw/train.h5", top_table(50)[:, 1:])
    assert "has 805 columns" in refused("top", *TRAIN)


def test_nan_names_column_and_jet(top_table, write_top, refused, tmp_path):
    table = top_table(50)
    table[[17, 30], 6] = np.nan
    path = write_top(tmp_path / "raw/val.h5", table)
    message = refused("top", "--splits", "val")
    assert f"{path}: table/PY_1 is not a finite number in jet 17" in message


def test_columns_that_are_not_read_may_be_missing_numbers(top_table, write_top, tmp_path):
    table = top_table(50)
    expected = read_all(write_top(tmp_path / "a.h5", table))
    table[:, 800:804] = np.nan  # the true momentum
    for ours, theirs in zip(read_all(write_top(tmp_path / "b.h5", table)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_third_label_is_refused(top_table, write_top, refused, tmp_path):
    table = top_table(50)
    table[9, 805] = 2
    write_top(tmp_path / "raw/train.h5", table)
    assert "is_signal_new is 2 in jet 9" in refused("top", *TRAIN)


def test_absurd_momenta_are_refused_without_overflow(top_table, tmp_path, refused):
    table = top_table(50)
    table[8, :4] = 1e300
    (tmp_path / "raw").mkdir()
    as_frame(table, "float64").to_hdf(tmp_path / "raw/train.h5", key="table", format="table")
    assert "jet 8 " in refused("top", *TRAIN)


@pytest.mark.filterwarnings("ignore")  # pandas and PyTables find so many columns slow
@pytest.mark.parametrize(
    "written",
    [
        {"format": "table", "data_columns": ["is_signal_new", "PX_3", "E_0"]},
        {"format": "table", "data_columns": ["ttv"], "index": False},
        {"format": "fixed", "key": "jets/of/top"},
        {"format": "fixed", "key": "jets/table"},
        {"format": "table", "key": "table/table"},
        {"format": "table", "key": "events", "complib": "blosc", "complevel": 3},
    ],
)
def test_every_way_of_writing_with_pandas_gives_the_same_jets(
    top_table, write_top, tmp_path, written
):
    table = top_table(30)
    frame = as_frame(table)
    frame.index = np.arange(30) * 0.5  # rows chosen from a larger table keep their numbers
    frame.insert(0, "run", 7)  # an additional column
    frame.to_hdf(tmp_path / "pandas.h5", **({"key": "table"} | written))
    assert_same_jets(tmp_path / "pandas.h5", read_all(write_top(tmp_path / "plain.h5", table)))


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_a_column_of_text_is_named(top_table, refused, tmp_path, layout):
    frame = as_frame(top_table(30))
    frame.insert(0, "comment", ["a", "b"] * 15)
    (tmp_path / "raw").mkdir()
    frame.to_hdf(tmp_path / "raw/train.h5", key="table", format=layout, data_columns=["comment"])
    message = refused("top", *TRAIN)
    assert "and no numbers; drop these columns" in message


def test_of_several_tables_the_public_key_is_read(top_table, write_top, refused, tmp_path):
    path = write_top(tmp_path / "raw/train.h5")
    expected = read_all(path)
    as_frame(top_table(10, seed=9)).to_hdf(path, key="more", mode="a")
    assert_same_jets(path, expected)
    with h5py.File(path, "a") as file:
        file.move("table", "less")
    message = refused("top", *TRAIN)
    assert "several pandas tables, none under the key 'table': less, more" in message


def test_another_key_is_named(refused, tmp_path):
    (tmp_path / "raw").mkdir()
    with h5py.File(tmp_path / "raw/train.h5", "w") as file:
        file["events"] = np.zeros(3)
    message = refused("top", *TRAIN)
    assert "has no pandas table: events" in message


def test_an_empty_folder_and_an_empty_table_are_refused(top_table, write_top, refused, tmp_path):
    (tmp_path / "raw").mkdir()
    assert "none of train.h5, val.h5, test.h5" in refused("top", *TRAIN)
    write_top(tmp_path / "raw/train.h5", top_table(50)[:0])
    assert "the table 'table' has no jets" in refused("top", *TRAIN)
    frame = pd.DataFrame(top_table(1), columns=top.COLUMNS)
    frame[:0].to_hdf(tmp_path / "raw/train.h5", key="table", mode="w")
    assert "the table 'table' has no jets" in refused("top", *TRAIN)
    frame.to_hdf(tmp_path / "raw/train.h5", key="table", mode="w")
    assert top.count(tmp_path / "raw/train.h5") == 1


def test_jets_that_are_all_empty_are_refused(top_table, write_top, refused, tmp_path):
    write_top(tmp_path / "raw/train.h5", 0 * top_table(50))
    assert "50 without constituents" in refused("top", *TRAIN)
