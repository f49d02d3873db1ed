"""Graphs are compared on the same random numbers at every run."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same codes and noise at every run."""
    torch.manual_seed(0)
