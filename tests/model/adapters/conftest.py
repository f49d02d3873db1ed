"""Every test of adapters runs on both networks."""

import pytest


@pytest.fixture(params=["s1", "s2"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)
