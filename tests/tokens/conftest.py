"""Fixture of the stored arrays of the public OmniJet-alpha code."""

import pytest
from published_numbers import stored


@pytest.fixture(scope="session")
def numbers():
    return stored()
