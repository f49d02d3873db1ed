"""Gated convolutions with skip connections, conditioned on a voice: the WaveNet of VITS (non-causal, undilated)."""

from torch import Tensor, nn

from voicemill.model.s2.weight_norm import Conv1d


class WaveNet(nn.Module):  # type: ignore[misc]  # torch is not followed
    """`layers` x [convolution, + voice, tanh x sigmoid, 1 x 1 to residual and skip]; the last has a skip alone."""

    def __init__(self, channels: int, kernel: int, layers: int, style: int) -> None:
        super().__init__()
        self.channels = channels
        self.in_layers = nn.ModuleList(
            Conv1d(channels, 2 * channels, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            Conv1d(channels, channels if i == layers - 1 else 2 * channels, 1) for i in range(layers)
        )
        self.cond_layer = Conv1d(style, 2 * channels * layers, 1)

    def forward(self, x: Tensor, mask: Tensor, ge: Tensor) -> Tensor:
        """[batch, channels, time], mask [batch, 1, time], voice [batch, style, 1] -> the shape of x, 0 where masked."""
        voices = self.cond_layer(ge).chunk(len(self.in_layers), 1)
        skip: Tensor | int = 0
        for into, out, voice in zip(self.in_layers, self.res_skip_layers, voices, strict=True):
            content, gate = (into(x) + voice).chunk(2, 1)
            y = out(content.tanh() * gate.sigmoid())
            skip = skip + y[:, -self.channels :]
            if y.shape[1] > self.channels:
                x = (x + y[:, : self.channels]) * mask
        return skip * mask
