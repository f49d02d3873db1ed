"""The three networks of the light system together, and their one file.

A training of one of them takes the file, and writes it anew with its part trained; so the file also says which parts
are. A speaker encoder that was trained anew gives vectors that the acoustic model does not know: that one is then
untrained again.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from voicemill.model.audio.mel import HOP
from voicemill.model.checkpoints.checkpoint import Checkpoint, read
from voicemill.model.checkpoints.loading import fill
from voicemill.model.checkpoints.sizes import Sizes, from_header, header
from voicemill.model.light.acoustic import Acoustic
from voicemill.model.light.config import BANDS, AcousticConfig, EcapaConfig, VocoderConfig
from voicemill.model.light.ecapa import EcapaTdnn
from voicemill.model.s2.generator import Generator
from voicemill.model.text.symbols import SYMBOLS
from voicemill.storage.errors import CheckpointError, ConfigError

LIGHT: Final = "light"
SPEAKER, ACOUSTIC, VOCODER = PARTS = ("speaker", "acoustic", "vocoder")
TRAINED = "trained"
"""Key of the header's list of parts."""
Source: TypeAlias = Checkpoint | Path | str


class LightSystem(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Speaker encoder, acoustic model and vocoder; `trained`: which of them are.

    Raises ConfigError where their sizes do not fit each other.
    """

    def __init__(
        self,
        speaker: EcapaConfig | None = None,
        acoustic: AcousticConfig | None = None,
        vocoder: VocoderConfig | None = None,
        trained: Iterable[str] = (),
    ) -> None:
        super().__init__()
        speaker, acoustic, vocoder = speaker or EcapaConfig(), acoustic or AcousticConfig(), vocoder or VocoderConfig()
        if speaker.embedding != acoustic.embedding:
            raise ConfigError(
                f"light: the speaker encoder gives {speaker.embedding} numbers, the acoustic model takes "
                f"{acoustic.embedding}: set the same embedding for both"
            )
        if (vocoder.hidden, vocoder.hop) != (BANDS, HOP):
            raise ConfigError(
                f"light: the vocoder reads {vocoder.hidden} bands and renders {vocoder.hop} samples for each frame: "
                f"expected {BANDS} (hidden) and {HOP} (the product of upsample_rates)"
            )
        self.speaker, self.acoustic, self.vocoder = EcapaTdnn(speaker), Acoustic(acoustic), Generator(vocoder)
        self.trained = frozenset(trained)

    def with_trained(self, part: str) -> frozenset[str]:
        """What is trained once `part` is."""
        return (self.trained - {ACOUSTIC} if part == SPEAKER else self.trained) | {part}

    def checkpoint(self, lineage: Mapping[str, Any] | None = None, trained: Iterable[str] | None = None) -> Checkpoint:
        """What `voicemill.model.checkpoints.writing.write` takes."""
        config: dict[str, Any] = {name: header(getattr(self, name).config) for name in PARTS}
        config[TRAINED] = sorted(self.trained if trained is None else trained)
        return Checkpoint(LIGHT, "v2", self.state_dict(), config, lineage=dict(lineage or {}))


def load_light(source: Source, needs: Iterable[str] = PARTS) -> LightSystem:
    """A light system from its file, float32, in eval mode; `needs`: the parts that have to be trained.

    Raises:
        CheckpointError: it is another kind of checkpoint, damaged, or a part that is needed was never trained. The
            sizes that the header gives are compared with the tensors before anything of them is built.
        OSError: the file cannot be read.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read(source)
    name = str(checkpoint.source or "these weights")
    if checkpoint.kind != LIGHT:
        raise CheckpointError(f"{name}: a checkpoint of {checkpoint.kind}, where one of {LIGHT} is needed")
    sizes = (
        _sizes(EcapaConfig, checkpoint, SPEAKER, name),
        _sizes(AcousticConfig, checkpoint, ACOUSTIC, name),
        _sizes(VocoderConfig, checkpoint, VOCODER, name),
    )
    check_phones(sizes[1], name)
    trained = checkpoint.config.get(TRAINED)
    if not isinstance(trained, list) or not {str(part) for part in trained} <= set(PARTS):
        raise CheckpointError(f"{name}: its list of trained parts is {str(trained)[:60]}: expected some of {PARTS}")
    if missing := [part for part in needs if part not in trained]:
        raise CheckpointError(
            f"{name}: its {missing[0]} was never trained (trained: {', '.join(trained) or 'nothing'}): run "
            "`voicemill distill --which light`, which trains all three"
        )
    try:
        with torch.device("meta"):
            shapes = {key: tuple(tensor.shape) for key, tensor in LightSystem(*sizes).state_dict().items()}
        if shapes == {key: tuple(tensor.shape) for key, tensor in checkpoint.weights.items()}:
            with torch.random.fork_rng(devices=[]):  # the modules draw their first values: reading moves no seed
                return fill(LightSystem(*sizes, trained), checkpoint)
        with torch.device("meta"):
            return fill(LightSystem(*sizes), checkpoint)  # says in what they differ
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from error


def check_phones(acoustic: AcousticConfig, name: str) -> None:
    """Raises CheckpointError unless the acoustic model of the file `name` knows every phone of the text front end."""
    if acoustic.phones < len(SYMBOLS):
        raise CheckpointError(
            f"{name}: its acoustic model knows {acoustic.phones} phones, the text front end has {len(SYMBOLS)}: it was "
            "made by another voicemill, or is damaged; `voicemill distill --which light` makes one"
        )


def _sizes(kind: type[Sizes], checkpoint: Checkpoint, part: str, name: str) -> Sizes:
    given = checkpoint.config.get(part)
    found = from_header(kind, given, f"{name}, {part}") if isinstance(given, Mapping) else None
    if found is None:
        raise CheckpointError(f"{name}: its header does not give the sizes of the {part}: it is damaged")
    return found
