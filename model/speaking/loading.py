"""Everything a voice needs, from files: the models ready to speak, in the precision that fits the machine."""

from pathlib import Path
from typing import get_args

from model.checkpoints.loading import load_s1, load_s2
from model.content import Encoder
from model.device import Wanted, place
from model.hub import resolve
from model.s1.engines import Precision, engine
from model.s2.inference import prepared
from model.speaking.voice import Voice
from model.text.bert import BertFeatures
from storage.errors import ConfigError

SETTING = "--content"


def load_voice(
    s1: Path | str,
    s2: Path | str,
    *,
    content: str,
    bert: str = "",
    precision: str = "auto",
    device: Wanted = "auto",
) -> Voice:
    """Two checkpoints, official or ours, and the models by hub id or folder. Nothing is downloaded.

    `precision`: auto (what is fastest here), float32, bfloat16, float16 (a GPU), or int8 (s1 on a CPU; s2 is then as
    with auto). The content encoder and the reference are always computed in float32: it is done once for a voice.

    Raises:
        CheckpointError: a file is no checkpoint of that kind.
        ModelMissing: `content` or `bert` is not on this machine; the message names the command that fetches it.
        ConfigError: a precision that this machine does not have; models that do not fit each other.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision = {precision!r}: expected {', '.join(get_args(Precision))}")
    where = place(device, "float32")
    rendering = place(device, "float32" if precision in ("float32", "reference") else "auto")
    encoder = Encoder.load(resolve(content, SETTING), -1, where)
    spoken = load_s1(s1).to(where.device)
    return Voice(
        engine(spoken, precision),  # type: ignore[arg-type]  # checked above
        prepared(load_s2(s2), rendering),
        encoder,
        BertFeatures(bert, where.device) if bert else None,
    )
