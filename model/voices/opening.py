"""Opening of any kind of voice from the files of its entry, with one function.

voice = open_voice({"s1": "s1.safetensors", "s2": "s2.safetensors"}, content="mfcc")
speech = voice.speak("Good morning.", voice.reference(["anna.wav"], "The words of the recording.", "en"))
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

from voicemill.model.device import DeviceChoice
from voicemill.model.light.voice import load_light_voice
from voicemill.model.speaking.loading import load_voice
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Piece, Speech
from voicemill.model.voices.graphs import open_as_graphs
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError

RunEngine: TypeAlias = Literal["auto", "torch", "onnx"]
"""Runtime of the networks: PyTorch, or graphs under ONNX Runtime. auto: PyTorch, unless there are only graphs."""


class ChunkStream(Protocol):
    """Speech in chunks float32 [samples], -1..1, 32 kHz, each computed on demand."""

    def __iter__(self) -> Iterator[Wave]: ...

    def __next__(self) -> Wave: ...

    @property
    def pieces(self) -> tuple[Piece, ...]: ...


class AnyVoice(Protocol):
    """Interface of every kind of voice; see `model.speaking.voice.Voice`. A reference fits only the voice that made
    it."""

    def reference(self, recordings: Sequence[Path | str | Wave], text: str = "", language: str = "auto") -> Any: ...

    def speak(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Speech: ...

    def stream(self, text: str, reference: Any, options: SpeakOptions | None = None) -> ChunkStream: ...


def open_voice(
    weights: Mapping[str, Path | str],
    *,
    content: str = "",
    bert: str = "",
    precision: str = "auto",
    device: DeviceChoice = "auto",
    engine: RunEngine = "auto",
) -> AnyVoice:
    """Open a voice, ready to speak.

    `weights`: stem ("s1", "s2") -> file, as in the card of an entry; stems that are not needed for speech, such as
    "s2_discriminator", are ignored. "light" alone is a whole voice without `content` and `bert`; beside s1 and s2 it is
    ignored. "onnx" is a folder of graphs, a whole voice too. The engine "onnx" exports other weights first, into a
    cache. See `load_voice` for the other parameters.

    Raises:
        ConfigError: the stems do not make a voice, or `engine` is unknown or does not fit them.
        CheckpointError, ModelMissing: as `load_voice`.
    """
    if engine not in get_args(RunEngine):
        raise ConfigError(f"engine = {engine!r}: expected {', '.join(get_args(RunEngine))}")
    graphs_alone = "onnx" in weights and not ({"s1", "s2"} <= weights.keys() or "light" in weights)
    if engine == "onnx" or (engine == "auto" and graphs_alone):
        return open_as_graphs(weights, content, bert, precision, device)
    if graphs_alone:
        raise ConfigError("engine = 'torch', but this voice is a folder of graphs: use engine 'onnx', or its parent")
    if "light" in weights and not {"s1", "s2"} <= weights.keys():
        return load_light_voice(weights["light"], precision, device)
    if missing := [stem for stem in ("s1", "s2") if stem not in weights]:
        raise ConfigError(f"no weights of {missing[0]}: given are {', '.join(weights) or 'none'}")
    return load_voice(weights["s1"], weights["s2"], content=content, bert=bert, precision=precision, device=device)
