"""A synthesizer prepared to speak says what it said before."""

import copy

import pytest
import torch
from golden import inp
from torch import Tensor, nn

from model.device import Placement
from model.s2.inference import prepared
from model.s2.packed import Packed, PackedGenerator, packs, phases, rounded
from model.s2.synthesizer import Synthesizer

pytestmark = pytest.mark.skipif(
    not packs(), reason="this torch has no oneDNN: the folded generator is used, tested elsewhere"
)
CPU = torch.device("cpu")


def ready(small: Synthesizer, dtype: torch.dtype) -> Synthesizer:
    return prepared(copy.deepcopy(small), Placement(CPU, dtype, "test"))


def sample(small: Synthesizer, batch: int = 1) -> tuple[Tensor, Tensor]:
    return inp("z", (batch, small.config.hidden, 43)), inp("ge", (batch, small.config.style, 1))


def loudness(wave: Tensor) -> float:
    return float(wave.square().mean().sqrt())


@pytest.mark.parametrize(("rate", "kernel"), [(10, 16), (8, 16), (2, 8), (2, 2), (10, 20), (3, 5)])
def test_phases_of_a_transposed_convolution(rate: int, kernel: int) -> None:
    torch.manual_seed(rate)
    up = nn.ConvTranspose1d(4, 6, kernel, rate, padding=(kernel - rate) // 2)
    x = torch.randn(2, 4, 9)
    weight = phases(up.weight, rate, up.padding[0])
    y = nn.functional.conv1d(x, weight, up.bias.repeat(rate), padding=weight.shape[-1] // 2)
    y = y.unflatten(1, (rate, 6)).permute(0, 2, 3, 1).flatten(2)
    torch.testing.assert_close(y, up(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_packed_convolution(dilation: int) -> None:
    torch.manual_seed(0)
    weight, bias, x, other = torch.randn(8, 8, 5), torch.randn(8), torch.randn(1, 8, 30), torch.randn(1, 8, 30)
    plain = nn.functional.conv1d(x, weight, bias, padding=2 * dilation, dilation=dilation)
    with torch.inference_mode():
        layer = Packed(weight, bias, dilation, torch.float32)
        wide, added = (value[:, :, None].contiguous(memory_format=torch.channels_last) for value in (x, other))
        torch.testing.assert_close(layer(wide)[:, :, 0], plain, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            layer(wide, active=True)[:, :, 0], nn.functional.leaky_relu(plain, 0.1), atol=1e-4, rtol=1e-4
        )
        assert layer.add_to(added, wide).data_ptr() == added.data_ptr()
        torch.testing.assert_close(added[:, :, 0], plain + other, atol=1e-4, rtol=1e-4)


def test_float32_is_the_same(small: Synthesizer) -> None:
    z, ge = sample(small, 2)
    model = ready(small, torch.float32)
    assert isinstance(model.dec, PackedGenerator)
    with torch.inference_mode():
        torch.testing.assert_close(model.waveform(z, ge), small.waveform(z, ge), atol=1e-5, rtol=0)


def test_bfloat16_is_close(small: Synthesizer) -> None:
    z, ge = sample(small)
    with torch.inference_mode():
        wave, other = small.waveform(z, ge), ready(small, torch.bfloat16).waveform(z, ge)
    assert other.dtype == torch.float32
    assert 0 < loudness(wave - other) < 0.02 * loudness(wave)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_and_streams_of_a_prepared_one(small: Synthesizer, dtype: torch.dtype) -> None:
    z, ge = sample(small, 2)
    model = ready(small, dtype)
    bound = 1e-5 if dtype is torch.float32 else 0.01
    with torch.inference_mode():
        batch = model.waveform(z, ge, torch.tensor([43, 23]))
        alone = model.waveform(z[1:, :, :23], ge[1:])
        whole = model.waveform(z, ge)
        parts = torch.cat(list(model.stream(z, ge, 9)), 1)
    assert loudness(batch[1, : alone.shape[1]] - alone[0]) < bound * loudness(alone)
    assert batch[1, alone.shape[1] :].eq(0).all()
    assert loudness(parts - whole) < bound * loudness(whole)


def test_rounded_lengths() -> None:
    assert [rounded(n) for n in (1, 4, 5, 124, 125, 252, 253)] == [4, 4, 12, 124, 156, 252, 284]


def test_what_is_left(small: Synthesizer) -> None:
    model = ready(small, torch.bfloat16)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not [key for key in model.state_dict() if key.startswith("enc_q.") or key.endswith("weight_v")]
    assert hasattr(small, "enc_q")
    codes, phones = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])
    ge = model.reference([inp("spec", (33, 12)).abs()])
    assert model.decode(codes, phones, ge).shape == (1, 6 * small.config.hop)
