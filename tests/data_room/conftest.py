"""A small file of top jets."""

import pytest
from toy_jets import TOP40, write_toy_file


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, TOP40, 60, seed=1)
    return path
