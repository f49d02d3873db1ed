"""The three networks of the light system together, and their one file.

The training of one network reads the file and writes it again with that part trained, so the file also lists the
trained parts. A newly trained speaker encoder gives vectors that the acoustic model was not trained on: the acoustic
model then counts as untrained again.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from voicemill.model.audio.mel import HOP
from voicemill.model.checkpoints.checkpoint import Checkpoint, read
from voicemill.model.checkpoints.loading import fill
from voicemill.model.checkpoints.sizes import Sizes, from_header, header
from voicemill.model.light.acoustic import Acoustic
from voicemill.model.light.config import (
    BANDS,
    AcousticConfig,
    EcapaConfig,
    Ge2eConfig,
    SpeakerConfig,
    SpectralConfig,
    VocoderConfig,
    VocoderSizes,
)
from voicemill.model.light.ecapa import EcapaTdnn
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.spectral import SpectralVocoder
from voicemill.model.s2.generator import Generator
from voicemill.model.text.symbols import SYMBOLS
from voicemill.storage.errors import CheckpointError, ConfigError

LIGHT: Final = "light"
SPEAKER, ACOUSTIC, VOCODER = PARTS = ("speaker", "acoustic", "vocoder")
TRAINED = "trained"
"""Key of the list of trained parts in the header."""
DEFAULT_VOICE = "default_voice"
"""Key of the default speaker vector in the header."""
NETWORK, GE2E, SPECTRAL = "network", "ge2e", "spectral"
"""Key of the name of a network beside its sizes, of the embedded speaker encoder and of the vocoder that gives spectra;
ECAPA-TDNN and HiFi-GAN have none."""
Source: TypeAlias = Checkpoint | Path | str


class LightSystem(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Speaker encoder, acoustic model and vocoder; `trained`: names of the trained ones, GE2E always among them.

    `default_voice`: vector of the speaker that it speaks as where no recording is given, of length 1; empty = none.
    Raises ConfigError where the sizes do not fit each other.
    """

    def __init__(
        self,
        speaker: SpeakerConfig | None = None,
        acoustic: AcousticConfig | None = None,
        vocoder: VocoderSizes | None = None,
        trained: Iterable[str] = (),
        default_voice: Sequence[float] = (),
    ) -> None:
        super().__init__()
        speaker, acoustic, vocoder = speaker or EcapaConfig(), acoustic or AcousticConfig(), vocoder or VocoderConfig()
        if speaker.embedding != acoustic.embedding:
            raise ConfigError(
                f"light: the speaker encoder gives {speaker.embedding} dimensions, the acoustic model expects "
                f"{acoustic.embedding}: set the same embedding for both"
            )
        if (vocoder.hidden, vocoder.hop) != (BANDS, HOP):
            raise ConfigError(
                f"light: the vocoder reads {vocoder.hidden} bands and renders {vocoder.hop} samples for each frame: "
                f"expected {BANDS} (hidden) and {HOP} (the product of upsample_rates)"
            )
        if default_voice and len(default_voice) != acoustic.embedding:
            raise ConfigError(
                f"light: the default voice has {len(default_voice)} dimensions, the acoustic model expects "
                f"{acoustic.embedding}"
            )
        self.speaker: EcapaTdnn | Ge2e = Ge2e(speaker) if isinstance(speaker, Ge2eConfig) else EcapaTdnn(speaker)
        self.acoustic = Acoustic(acoustic)
        self.vocoder: Generator | SpectralVocoder = (
            SpectralVocoder(vocoder) if isinstance(vocoder, SpectralConfig) else Generator(vocoder)
        )
        self.trained = frozenset(trained) | (frozenset({SPEAKER}) if isinstance(speaker, Ge2eConfig) else frozenset())
        self.default_voice: Tensor | None = torch.tensor(default_voice) if default_voice else None

    def with_trained(self, part: str) -> frozenset[str]:
        """Names of the trained parts after a training of `part`."""
        return (self.trained - {ACOUSTIC} if part == SPEAKER else self.trained) | {part}

    def checkpoint(self, lineage: Mapping[str, Any] | None = None, trained: Iterable[str] | None = None) -> Checkpoint:
        """Checkpoint of the system for `voicemill.model.checkpoints.writing.write`."""
        config: dict[str, Any] = {name: header(getattr(self, name).config) for name in PARTS}
        if isinstance(self.speaker, Ge2e):
            config[SPEAKER][NETWORK] = GE2E
        if isinstance(self.vocoder, SpectralVocoder):
            config[VOCODER][NETWORK] = SPECTRAL
        config[TRAINED] = sorted(self.trained if trained is None else trained)
        if self.default_voice is not None:
            config[DEFAULT_VOICE] = self.default_voice.tolist()
        return Checkpoint(LIGHT, "v2", self.state_dict(), config, lineage=dict(lineage or {}))


def load_light(source: Source, needs: Iterable[str] = PARTS) -> LightSystem:
    """Load a light system from its file, float32, in eval mode; `needs`: parts that must be trained.

    Raises:
        CheckpointError: it is another kind of checkpoint, it is damaged, or a needed part was never trained. The sizes
            in the header are compared with the tensors before any network is built.
        OSError: the file cannot be read.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read(source)
    name = str(checkpoint.source or "these weights")
    if checkpoint.kind != LIGHT:
        raise CheckpointError(f"{name}: a checkpoint of {checkpoint.kind}, expected one of {LIGHT}")
    speaker: SpeakerConfig
    vocoder: VocoderSizes
    if _is(checkpoint, SPEAKER, GE2E, name):
        speaker = _sizes(Ge2eConfig, checkpoint, SPEAKER, name)
    else:
        speaker = _sizes(EcapaConfig, checkpoint, SPEAKER, name)
    if _is(checkpoint, VOCODER, SPECTRAL, name):
        vocoder = _sizes(SpectralConfig, checkpoint, VOCODER, name)
    else:
        vocoder = _sizes(VocoderConfig, checkpoint, VOCODER, name)
    sizes = speaker, _sizes(AcousticConfig, checkpoint, ACOUSTIC, name), vocoder
    check_phones(sizes[1], name)
    trained = checkpoint.config.get(TRAINED)
    if not isinstance(trained, list) or not {str(part) for part in trained} <= set(PARTS):
        raise CheckpointError(f"{name}: its list of trained parts is {str(trained)[:60]}: expected some of {PARTS}")
    if missing := [part for part in needs if part not in trained]:
        raise CheckpointError(
            f"{name}: its {missing[0]} was never trained (trained: {', '.join(trained) or 'nothing'}): run "
            "`voicemill distill --which light`, which trains all three"
        )
    voice = default_voice_in(checkpoint.config, name)
    try:
        with torch.device("meta"):
            shapes = {key: tuple(tensor.shape) for key, tensor in LightSystem(*sizes).state_dict().items()}
        if shapes == {key: tuple(tensor.shape) for key, tensor in checkpoint.weights.items()}:
            with torch.random.fork_rng(devices=[]):  # the modules draw initial values: reading must not move the seed
                return fill(LightSystem(*sizes, trained, voice), checkpoint)
        with torch.device("meta"):
            return fill(LightSystem(*sizes), checkpoint)  # raises with the differences
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from error


def check_phones(acoustic: AcousticConfig, name: str) -> None:
    """Raise CheckpointError unless the acoustic model of the file `name` has every phone of the text front end."""
    if acoustic.phones < len(SYMBOLS):
        raise CheckpointError(
            f"{name}: its acoustic model has {acoustic.phones} phones, the text front end {len(SYMBOLS)}: it was made "
            "by another version of voicemill, or is damaged; `voicemill distill --which light` makes one"
        )


def default_voice_in(config: Mapping[str, Any], name: str) -> list[float]:
    """Default speaker vector in the header of a checkpoint or of graphs, empty where there is none.

    Raises CheckpointError where it is no list of finite numbers. `name`: that of the file, for the message.
    """
    stated = config.get(DEFAULT_VOICE, [])
    if not isinstance(stated, list) or not all(isinstance(value, float | int) and abs(value) <= 1 for value in stated):
        raise CheckpointError(f"{name}: its default voice is {str(stated)[:40]}: expected numbers from -1 to 1")
    return [float(value) for value in stated]


def _is(checkpoint: Checkpoint, part: str, network: str, name: str) -> bool:
    """Whether the part is the named network; raises CheckpointError where it is an unknown one."""
    stated = checkpoint.config.get(part)
    found = stated.get(NETWORK, "") if isinstance(stated, Mapping) else ""
    if found not in ("", network):
        raise CheckpointError(f"{name}: its {part} is {str(found)[:40]!r}, which this voicemill lacks")
    return bool(found)


def _sizes(kind: type[Sizes], checkpoint: Checkpoint, part: str, name: str) -> Sizes:
    stated = checkpoint.config.get(part)
    sizes = from_header(kind, stated, f"{name}, {part}") if isinstance(stated, Mapping) else None
    if sizes is None:
        raise CheckpointError(f"{name}: its header does not give the sizes of the {part}: it is damaged")
    return sizes
