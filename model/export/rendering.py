"""The graphs of s2 under ONNX Runtime, with the interface of a synthesizer."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from voicemill.model.export.folder import GraphFolder
from voicemill.model.export.running import Session
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.encoders import Prior
from voicemill.model.s2.generator import windows
from voicemill.model.s2.synthesizer import Synthesizer, check_speed
from voicemill.storage.errors import ConfigError


class OnnxFlow:
    """Inverse of the flow for `voicemill.model.s2.generator.windows`."""

    def __init__(self, folder: GraphFolder, config: S2Config, threads: int = 0) -> None:
        self.session = Session(folder, "s2_flow", threads)
        self.context = config.couplings * config.flow_layers * (config.wavenet_kernel // 2)

    def __call__(self, z: Tensor, mask: Tensor, ge: Tensor, inverse: bool = True) -> Tensor:
        """See `voicemill.model.s2.latent.Flow.forward`; only the inverse."""
        if not inverse:
            raise ValueError("the graph of the flow computes only its inverse")
        (latent,) = self.session(z=z, lengths=mask.sum(-1)[:, 0].long(), ge=ge)
        return torch.from_numpy(latent)


class OnnxSynthesizer:
    """s2 as graphs; see `voicemill.model.s2.inference.Synthesis`."""

    device = torch.device("cpu")
    latent = staticmethod(Synthesizer.latent)

    def __init__(self, folder: GraphFolder, threads: int = 0) -> None:
        self.config = folder.manifest.sizes_of(S2Config, "s2")
        self.flow = OnnxFlow(folder, self.config, threads)
        graphs = ("reference", "codes", "prior", "generator")
        self._reference, self._codes, self._prior, self._generator = (
            Session(folder, f"s2_{name}", threads) for name in graphs
        )

    def reference(self, spectrograms: Sequence[Tensor], sv: Sequence[Tensor] | None = None) -> Tensor:
        """See `Synthesizer.reference`."""
        if (sv is None) != (self.config.speaker_dim == 0) or not spectrograms:
            expected = f"one [1, {self.config.speaker_dim}] for each" if self.config.speaker_dim else "none"
            raise ConfigError(
                f"s2 {self.config.version}: speaker embeddings: expected {expected}, for one reference or more"
            )
        if sv is not None and len(sv) != len(spectrograms):
            raise ConfigError(f"{len(spectrograms)} references but {len(sv)} speaker embeddings")
        outputs = [
            self._reference(
                spectrogram=spectrogram.reshape(1, *spectrogram.shape[-2:]), **({"sv": sv[i]} if sv else {})
            )
            for i, spectrogram in enumerate(spectrograms)
        ]
        return torch.from_numpy(np.mean([ge for (ge,) in outputs], 0, dtype=np.float32))

    def codes(self, ssl: Tensor) -> Tensor:
        """See `Synthesizer.codes`."""
        return torch.from_numpy(self._codes(ssl=ssl)[0])

    def prior(
        self,
        codes: Tensor,
        phones: Tensor,
        ge: Tensor,
        speed: float = 1.0,
        *,
        code_lengths: Tensor | None = None,
        phone_lengths: Tensor | None = None,
    ) -> Prior:
        """See `Synthesizer.prior`."""
        check_speed(speed)
        lengths = [
            torch.full((len(tokens),), tokens.shape[1]) if given is None else given.long()
            for tokens, given in ((codes, code_lengths), (phones, phone_lengths))
        ]
        mean, logs, _ = self._prior(
            codes=codes,
            code_lengths=lengths[0],
            phones=phones,
            phone_lengths=lengths[1],
            ge=ge,
            speed=np.array(speed, np.float64),
        )
        return Prior(torch.from_numpy(mean), torch.from_numpy(logs))

    def dec(self, z: Tensor, ge: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """See `Generator.forward`, without a mask: float32 [batch, 1, frames x hop]."""
        (wave,) = self._generator(z=z, **({} if ge is None else {"ge": ge}))
        return torch.from_numpy(wave)[:, None]

    def waveform(self, z: Tensor, ge: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Synthesizer.waveform`; rows of different lengths are rendered one by one."""
        ends = [z.shape[-1]] * len(z) if lengths is None else [int(end) for end in lengths]
        latent = self.flow(z, _mask(ends, z.shape[-1]), ge)
        if len(set(ends)) == 1:
            return self._pad(self.dec(latent[..., : ends[0]], ge)[:, 0], z)
        voices = ge if len(ge) > 1 else ge.expand(len(z), -1, -1)
        rows = [
            self.dec(row[None, :, :end].contiguous(), voice[None].contiguous())[:, 0]
            for row, voice, end in zip(latent, voices, ends, strict=True)
        ]
        return torch.cat([self._pad(row, z) for row in rows])

    def _pad(self, wave: Tensor, z: Tensor) -> Tensor:
        """[batch, samples] -> [batch, frames x hop], 0 behind the end."""
        return torch.nn.functional.pad(wave, (0, z.shape[-1] * self.config.hop - wave.shape[-1]))

    def stream(self, z: Tensor | Iterable[Tensor], ge: Tensor, frames_per_chunk: int = 50) -> Iterator[Tensor]:
        """See `Synthesizer.stream`."""
        yield from windows(self, z, ge, frames_per_chunk)


def _mask(ends: Sequence[int], time: int) -> Tensor:
    return (torch.arange(time) < torch.tensor(ends)[:, None])[:, None].float()
