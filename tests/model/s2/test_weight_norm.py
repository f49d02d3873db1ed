"""Weight norm against torch's, and the names that it reads and writes."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.s2.weight_norm import Conv1d, Conv2d, ConvTranspose1d, fold

KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda: Conv1d(4, 6, 3, dilation=2), lambda: nn.Conv1d(4, 6, 3, dilation=2), (2, 4, 9)),
    "Conv2d": (lambda: Conv2d(4, 6, (3, 1)), lambda: nn.Conv2d(4, 6, (3, 1)), (2, 4, 9, 2)),
    "ConvTranspose1d": (
        lambda: ConvTranspose1d(4, 6, 8, 4, padding=2),
        lambda: nn.ConvTranspose1d(4, 6, 8, 4, padding=2),
        (2, 4, 9),
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """Ours, torch's with other weights, and an input."""
    torch.manual_seed(3)
    ours, official, shape = KINDS[request.param]
    other = weight_norm(official())
    with torch.no_grad():
        other.parametrizations.weight.original0.mul_(1.5)
    return ours(), other, torch.randn(shape)


def test_it_starts_as_the_plain_layer(kind: tuple[nn.Module, nn.Module, torch.Tensor]) -> None:
    ours, _, _ = kind
    torch.testing.assert_close(ours.normed(), ours.weight_v, atol=1e-6, rtol=0)
    assert list(ours.state_dict()) == ["bias", "weight_g", "weight_v"]


def test_torch_s_new_names_are_read(kind: tuple[nn.Module, nn.Module, torch.Tensor]) -> None:
    ours, official, x = kind
    ours.load_state_dict(official.state_dict())
    torch.testing.assert_close(ours(x), official(x), atol=1e-6, rtol=1e-6)
    assert set(ours.state_dict()) == {"bias", "weight_g", "weight_v"}


def test_gradients_are_those_of_torch(kind: tuple[nn.Module, nn.Module, torch.Tensor]) -> None:
    ours, official, x = kind
    ours.load_state_dict(official.state_dict())
    ours(x).square().sum().backward()
    official(x).square().sum().backward()
    actual = official.parametrizations.weight
    torch.testing.assert_close(ours.weight_g.grad, actual.original0.grad, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.weight_v.grad, actual.original1.grad, atol=1e-4, rtol=1e-5)


def test_folded(kind: tuple[nn.Module, nn.Module, torch.Tensor]) -> None:
    ours, official, x = kind
    names = {key: value.clone() for key, value in ours.state_dict().items()}
    before = ours(x)
    fold(ours)
    fold(ours)  # twice is once
    assert list(ours.state_dict()) == ["bias", "weight"]
    torch.testing.assert_close(ours(x), before, atol=1e-6, rtol=1e-6)
    ours.load_state_dict(official.state_dict())  # a folded layer reads normed weights
    torch.testing.assert_close(ours(x), official(x), atol=1e-6, rtol=1e-6)
    ours.load_state_dict(names)
    torch.testing.assert_close(ours(x), before, atol=1e-6, rtol=1e-6)


def test_a_normed_layer_reads_folded_weights(kind: tuple[nn.Module, nn.Module, torch.Tensor]) -> None:
    ours, official, x = kind
    plain = {"bias": official.bias.detach(), "weight": official.weight.detach()}
    ours.load_state_dict(plain)
    torch.testing.assert_close(ours(x), official(x), atol=1e-6, rtol=1e-6)


def test_missing_and_foreign_keys_are_refused() -> None:
    conv = Conv1d(2, 2, 1)
    with pytest.raises(RuntimeError, match="Missing key"):
        conv.load_state_dict({"bias": torch.zeros(2), "weight_g": torch.ones(2, 1, 1)})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        conv.load_state_dict({**conv.state_dict(), "weight_u": torch.zeros(1)})


def test_a_whole_model_under_either_name(small: Synthesizer) -> None:
    old = small.state_dict()
    ends = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    new = {key.removesuffix(key.split(".")[-1]) + ends.get(key.split(".")[-1], key.split(".")[-1]): value
           for key, value in old.items()}  # fmt: skip
    assert new.keys() != old.keys()
    other = Synthesizer(small.config)
    other.load_state_dict(new)
    assert list(other.state_dict()) == list(old)
    assert all(torch.equal(value, old[key]) for key, value in other.state_dict().items())
