"""The light system from a folder of graphs: `LightVoice`, with networks that ONNX Runtime computes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.export.folder import GraphFolder, read_folder
from voicemill.model.export.running import Session
from voicemill.model.light.acoustic import spoken_durations
from voicemill.model.light.alignment import progress, regulate
from voicemill.model.light.config import AcousticConfig, SpectralConfig, VocoderConfig
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.system import DEFAULT_VOICE, SPEAKER, check_phones, default_voice_in
from voicemill.model.light.voice import LightVoice, reach_of
from voicemill.storage.errors import CheckpointError


class OnnxLightVoice(LightVoice):
    """See `LightVoice`: `reference`, `speak` and `stream` are its own."""

    def __init__(self, folder: GraphFolder | Path | str, threads: int = 0) -> None:
        """Load the graphs. Raises CheckpointError as `read_folder`, and for another kind of voice."""
        opened = folder if isinstance(folder, GraphFolder) else read_folder(folder)
        if opened.manifest.voice != "light":
            raise CheckpointError(
                f"{opened.path} holds graphs of a {opened.manifest.voice} voice, expected a light one"
            )
        self.device = torch.device("cpu")
        manifest = opened.manifest
        if "fft" in manifest.sizes.get("vocoder", {}):
            self.reach = reach_of(manifest.sizes_of(SpectralConfig, "vocoder"))
        else:
            self.reach = reach_of(manifest.sizes_of(VocoderConfig, "vocoder"))
        has_encoder = SPEAKER in opened.manifest.sizes
        self.speaker = _Speaker(opened, threads) if has_encoder else Ge2e()  # type: ignore[assignment]  # `EcapaTdnn.embed`
        voice = default_voice_in({DEFAULT_VOICE: list(opened.manifest.default_voice)}, str(opened.path))
        self.default_voice = torch.tensor(voice) if voice else None
        self.acoustic = _Acoustic(opened, threads)  # type: ignore[assignment]
        self.vocoder = _Vocoder(opened, threads)  # type: ignore[assignment]
        self._mel = LogMel()


class _Vocoder:
    def __init__(self, folder: GraphFolder, threads: int) -> None:
        self.session = Session(folder, "vocoder_wave", threads)

    def __call__(self, mel: Tensor) -> Tensor:
        """Log-mel float32 [rows, 128, frames] -> float32 [rows, 1, samples]."""
        return torch.from_numpy(self.session(z=mel.contiguous())[0])[:, None]


class _Speaker:
    def __init__(self, folder: GraphFolder, threads: int) -> None:
        self.session = Session(folder, "speaker_embedding", threads)

    def embed(self, mel: Tensor) -> Tensor:
        """See `EcapaTdnn.embed`, without lengths."""
        return torch.from_numpy(self.session(mel=mel.contiguous())[0])


class _Acoustic:
    def __init__(self, folder: GraphFolder, threads: int) -> None:
        self.config = folder.manifest.sizes_of(AcousticConfig, "acoustic")
        check_phones(self.config, str(folder.path))
        self.encode, self.decode = (Session(folder, f"acoustic_{name}", threads) for name in ("encode", "decode"))

    def speak(self, phones: Tensor, voice: Tensor, speed: float = 1.0) -> Tensor:
        """See `Acoustic.speak`."""
        states, means, log_durations = self.encode(phones=phones[None].long(), voice=voice[None])
        durations = spoken_durations(torch.from_numpy(log_durations), speed)
        start = np.zeros((self.config.recurrent_layers, 1, self.config.units), np.float32)
        states, means = (regulate(torch.from_numpy(values), durations) for values in (states, means))
        mel, *_ = self.decode(states=states, means=means, into=progress(durations), hidden=start, cell=start)
        return torch.from_numpy(mel)[0].T
