"""Any voice that can speak, from the files of its entry: one function opens it, whatever it is made of.

voice = open_voice({"s1": "s1.safetensors", "s2": "s2.safetensors"}, content="mfcc")
speech = voice.speak("Good morning.", voice.reference(["anna.wav"], "What she says there.", "en"))
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

from voicemill.model.device import Wanted
from voicemill.model.light.voice import load_light_voice
from voicemill.model.speaking.loading import load_voice
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Piece, Speech
from voicemill.model.voices.graphs import open_as_graphs
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError

RunEngine: TypeAlias = Literal["auto", "torch", "onnx"]
"""What computes the networks: PyTorch, or graphs under ONNX Runtime. auto: PyTorch, unless graphs are all there is."""


class SpokenStream(Protocol):
    """Chunks float32 [samples], -1..1, 32 kHz, each computed when it is asked for."""

    def __iter__(self) -> Iterator[Wave]: ...

    def __next__(self) -> Wave: ...

    @property
    def pieces(self) -> tuple[Piece, ...]: ...


class Speaking(Protocol):
    """What every kind of voice does; `model.speaking.voice.Voice` says how. What `reference` gives only the voice that
    gave it understands."""

    def reference(self, recordings: Sequence[Path | str | Wave], text: str = "", language: str = "auto") -> Any: ...

    def speak(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Speech: ...

    def stream(self, text: str, reference: Any, options: SpeakOptions | None = None) -> SpokenStream: ...


def open_voice(
    weights: Mapping[str, Path | str],
    *,
    content: str = "",
    bert: str = "",
    precision: str = "auto",
    device: Wanted = "auto",
    engine: RunEngine = "auto",
) -> Speaking:
    """A voice ready to speak. `weights`: stem ("s1", "s2") -> file, as the card of an entry names them; stems that
    nothing here speaks with, such as "s2_discriminator", are passed over. "light" alone is a whole voice, which needs
    neither `content` nor `bert`; where s1 and s2 are there too, those speak. "onnx" is a folder of graphs, which is a
    whole voice too. The engine "onnx" makes graphs of other weights first, in a cache. All else as in `load_voice`.

    Raises:
        ConfigError: no stems that make a voice, or an engine that there is none of.
        CheckpointError, ModelMissing: as `load_voice`.
    """
    if engine not in get_args(RunEngine):
        raise ConfigError(f"engine = {engine!r}: expected {', '.join(get_args(RunEngine))}")
    graphs_alone = "onnx" in weights and not ({"s1", "s2"} <= weights.keys() or "light" in weights)
    if engine == "onnx" or (engine == "auto" and graphs_alone):
        return open_as_graphs(weights, content, bert, precision, device)
    if graphs_alone:
        raise ConfigError("engine = 'torch', but this voice is a folder of graphs: take engine 'onnx', or its parent")
    if "light" in weights and not {"s1", "s2"} <= weights.keys():
        return load_light_voice(weights["light"], precision, device)
    if missing := [stem for stem in ("s1", "s2") if stem not in weights]:
        raise ConfigError(f"no weights of {missing[0]}: there are those of {', '.join(weights) or 'nothing'}")
    return load_voice(weights["s1"], weights["s2"], content=content, bert=bert, precision=precision, device=device)
