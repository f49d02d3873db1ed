"""Training s1: next-code prediction on the codes that a frozen quantizer makes from the content features of the corpus.

The loss is the mean over the codes of a step and one EOS of each example. GPT-SoVITS takes the sum, trains every padded
position to be EOS, and masks the wrong side of a padded batch; see `model.s1.decoder` and `model.s1.loss`.

GPT-SoVITS optimises by ScaledAdam at a constant 0.002. Its steps are in shares of each tensor's own size, so its rates
mean nothing to other optimisers, and its several passes over every tensor cost two thirds of a forward and backward
pass on a CPU. AdamW takes the rates of the phases as they are stated, is one fused pass, and suits adapters as well.
Its constants are those of GPT-3 (Brown et al. 2020, appendix B), but for the decay: 0.01, which does not pull a
pretrained network towards zero within a fine-tuning. Biases, norms and alphas do not decay.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from voicemill.model.adapters.lora import merged_state
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.loss import Loss, loss
from voicemill.model.s2.synthesizer import CODE_FRAMES, Synthesizer
from voicemill.model.settings.training import S1Settings
from voicemill.model.training.engine.objective import Sample
from voicemill.storage.errors import ConfigError

S1 = "s1"
DARKEST = -10.0
"""Log-probability below which the picture is black."""


class Coder(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The frozen part of an s2 that turns content features into codes."""

    def __init__(self, network: Synthesizer) -> None:
        super().__init__()
        self.dims, self.entries = network.config.ssl_dim, network.config.codebook
        self.ssl_proj, self.quantizer = network.ssl_proj, network.quantizer
        self.eval().requires_grad_(False)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def forward(self, content: Tensor, lengths: Tensor) -> tuple[Tensor, list[int]]:
        """Return the codes int64 [batch, longest] of content float32 [batch, dims, frames], and how many of each row
        are real; `lengths`: real frames, int64 [batch]. In float32 whatever the training computes in, so that the codes
        are those of synthesis."""
        counts = [int(length) // CODE_FRAMES for length in lengths]
        with torch.autocast(content.device.type, enabled=False):
            codes = self.quantizer.codes(self.ssl_proj(content.float()[..., : CODE_FRAMES * max(counts)]))
        return codes, counts


class S1Objective:
    """Objective of s1. Parameters of `network` that require no gradient are not trained.

    Raises ConfigError: `coder` has more or fewer codes than `network`.
    """

    network: str = S1
    rounds: tuple[str, ...] = (S1,)

    def __init__(self, network: Text2Semantic, coder: Coder, settings: S1Settings, notes: tuple[str, ...] = ()) -> None:
        if coder.entries != network.config.codes:
            raise ConfigError(
                f"s1 has {network.config.codes} codes, the quantizer of s2 has {coder.entries}: they belong to "
                "different trainings. Name the s2 that this s1 was trained with, or train s1 from scratch"
            )
        self.settings, self.notes, self._coder = settings, notes, coder
        self.modules: dict[str, nn.Module] = {S1: network}
        self.needs = frozenset({"bert"})

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Return AdamW: weight decay for matrices, none for vectors."""
        moved = [parameter for parameter in self._network.parameters() if parameter.requires_grad]
        parts = {0.01: [p for p in moved if p.dim() > 1], 0.0: [p for p in moved if p.dim() < 2]}
        groups = [
            {"params": parameters, "weight_decay": decay, "scale": 1.0}
            for decay, parameters in parts.items()
            if parameters
        ]
        return {S1: AdamW(groups, rate, betas=(0.9, 0.95), eps=1e-8, fused=True)}

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Return {"cross_entropy": nats per code or EOS}."""
        totals = batch.totals
        found = self._loss(batch, self.settings.label_smoothing)
        return {"cross_entropy": found.total * totals.parts / (totals.codes + totals.examples)}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Return "loss", the cross entropy without label smoothing, and "top3", the share of codes among the three most
        likely ones, 0..1, EOS left out."""
        self._network.eval()
        found = self._loss(batch, 0.0)
        codes = found.tokens - len(batch)
        sums = {"loss": float(found.total), "top3": found.accuracy * codes if codes else 0.0}
        return sums | {"loss/weight": float(found.tokens), "top3/weight": float(codes)}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """Return two images over the positions of the first example: the log-probability of every code (rows), and that
        of the true code, as a band. No sound: that takes an s2."""
        network = self._network.eval()
        phones = batch.phones[:1, : int(batch.phone_lengths[0])]
        bert = None if batch.bert is None else batch.bert[:1, :, : phones.shape[1]]
        codes, _ = self._coder.to(batch.content.device)(batch.content[:1], batch.lengths[:1])
        logs = network(phones, bert, codes)[0, :-1].float().log_softmax(-1)
        true = logs.gather(1, codes[0, :, None]).T.expand(16, -1)
        images = {"log-probabilities": logs.T, "log-probability of the true codes": true}
        return Sample({}, {name: image.clamp(min=DARKEST).cpu().numpy() for name, image in images.items()})

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Return the checkpoint under "s1"."""
        network = self._network
        return {S1: Checkpoint("s1", "v2", merged_state(network), header(network.config), lineage=lineage)}

    @property
    def _network(self) -> Text2Semantic:
        network: Text2Semantic = self.modules[S1]
        return network

    def _loss(self, batch: Minibatch, smoothing: float) -> Loss:
        codes, counts = self._coder.to(batch.content.device)(batch.content, batch.lengths)
        return loss(self._network, batch.phones, batch.bert, codes, batch.phone_lengths.tolist(), counts, smoothing)
