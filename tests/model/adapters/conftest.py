"""Both networks, and one thread for all tests: two wait for each other after every small layer."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(params=["s1", "s2"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
