"""The list of all datasets and of their files on the disk."""

import numpy as np
from commands import output_of

from omnilearn.data.catalogue import CATALOGUE
from preprocessing.own import write_dataset


def test_every_dataset_is_listed_with_its_origin_and_citation(preprocess, tmp_path):
    printed = output_of(preprocess("list", "--out", tmp_path))
    entries = printed.strip().split("\n\n")
    assert len(entries) == len(CATALOGUE)
    for entry, spec in zip(entries, CATALOGUE.values(), strict=True):
        line = " ".join(entry.split())
        assert line.startswith(f"{spec.name}: {spec.title}")
        for value in (spec.task, ", ".join(spec.class_names), spec.source, spec.citation):
            assert value in line
        assert f"{spec.max_constituents} of {spec.num_features} features" in line
        assert f"on disk: nothing in {tmp_path}" in line
        assert max(map(len, entry.splitlines())) <= 100


def test_files_and_jets_of_every_split_are_counted(write_top, preprocess, tmp_path, convert):
    write_top(tmp_path / "raw/train.h5", n=50)
    write_top(tmp_path / "raw/val.h5", n=20)
    convert("top", "--out", tmp_path / "data")
    _, printed, _ = preprocess("list", "--out", tmp_path / "data")
    line = " ".join(printed.split())
    assert "train 1 files, 50 jets (public)" in line
    assert "val 1 files, 20 jets (public)" in line
    assert " test " not in line[line.index("val 1") : line.index("qg: ")]


def test_declared_data_sets_are_listed(preprocess, tmp_path, toy_jets):
    momenta, counts, _ = toy_jets(200)
    jets = np.split(momenta, np.cumsum(counts)[:-1])
    about = {"classes": ("QCD", "top"), "jet_radius": 0.8, "jet_pt_range": (550.0, 650.0)}
    write_dataset(tmp_path, "my_tops", jets, np.arange(200) % 2, **about)
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt/dataset.json").write_text("{}")
    status, printed, _ = preprocess("list", "--out", tmp_path)
    *_, declared, spoilt = printed.strip().split("\n\n")
    assert status == 0
    line = " ".join(declared.split())
    assert line.startswith("my_tops: my_tops task: tagging classes: QCD, top constituents: 150")
    assert "jets (own) in" in line
    assert "citation" not in line
    assert "spoilt/dataset.json does not declare a dataset" in spoilt


def test_a_file_that_cannot_be_read_is_named(preprocess, tmp_path):
    (tmp_path / "top/train").mkdir(parents=True)
    (tmp_path / "top/train/top_train_000.h5").write_bytes(b"damaged")
    (tmp_path / "top/train/.top_train_001.h5").write_bytes(b"still being written")
    assert "top_train_000.h5 cannot be read" in output_of(preprocess("list", "--out", tmp_path))
