"""Names of content encoders: what a corpus version was made with, and so what its voices must read references with.

| name | encoder |
|---|---|
| `whisper-<layer>`, `-cmvn` | a layer of the embedded Whisper encoder, plain or normalised by utterance |
| `mfcc-cmvn` | cepstra normalised by utterance: no model |
| `mfcc` | plain cepstra, as in stores made before normalisation: voices trained on them need them |
| `org/name`, `org/name#9` | the last or ninth layer of a HuBERT, wav2vec 2.0 or WavLM, by hub id or folder |

The feature table of a version bears the name of its encoder, `content` where it has a model of the last kind.
Imports no torch, so that a command can name an encoder before it loads one.
"""

import re
from collections.abc import Mapping
from typing import Any

MFCC, MFCC_CMVN = "mfcc", "mfcc-cmvn"
CEPSTRA = (MFCC, MFCC_CMVN)
"""Encoders without a model."""
MODEL_TABLE = "content"
"""Name of the feature table of encoders by hub id or folder."""
WHISPER_LAYERS, WHISPER_LAYER = 4, 3
"""Last layer of the embedded Whisper encoder, and the one that measures best (`tests/bench/content.py`)."""
WHISPER_WEIGHTS = "model/model.bin"
"""Its file in `voicemill.model.embedded.WHISPER`."""
_WHISPER = re.compile(r"whisper-(\d+)(-cmvn)?")
_LAYER = re.compile(r"(.+)#(\d+)")


def whisper_name(layer: int, normalise: bool) -> str:
    """Name of a layer of the embedded Whisper encoder."""
    return f"whisper-{layer}{'-cmvn' if normalise else ''}"


def whisper_layer(name: str) -> tuple[int, bool] | None:
    """Layer of a name and whether it is normalised; None for other encoders."""
    match = _WHISPER.fullmatch(name)
    return (int(match[1]), bool(match[2])) if match else None


def split_layer(name: str) -> tuple[str, int]:
    """Hub id or folder of a name, and its layer, -1 = the last."""
    match = _LAYER.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, -1)


def is_builtin(name: str) -> bool:
    """Whether a name needs no hub id or folder."""
    return name in CEPSTRA or whisper_layer(name) is not None


def content_name(settings: Mapping[str, Any], table: str) -> str:
    """Name of the encoder of a corpus version.

    `settings`: section `content` of the config that is recorded in it; `table`: its feature table, such as
    `features/mfcc-cmvn-57c12a3c`.
    """
    name = table.removeprefix("features/").rpartition("-")[0]
    if name != MODEL_TABLE:
        return name
    model, layer = str(settings.get("model", MFCC)), int(settings.get("layer", -1))
    return model if layer == -1 else f"{model}#{layer}"
