"""Fixtures of the tests of a search."""

import pytest
from tiny_search import tiny_search


@pytest.fixture(scope="module")
def in_seconds():
    """Every stage of a search in seconds."""
    with tiny_search():
        yield
