"""A vault whose keys are nobody's, and somebody who did it."""

import pytest

from xinghan.kit.vault import Vault

ACTOR = "mei"


@pytest.fixture
def vault() -> Vault:
    return Vault({1: bytes(range(32))})


@pytest.fixture
def actor() -> str:
    return ACTOR
