"""Names of content encoders: what a corpus version was made with, and so what its voices must read references with.

| name | encoder |
|---|---|
| `mfcc-cmvn` | cepstra normalised by utterance: no model |
| `mfcc` | plain cepstra, as in stores made before normalisation: voices trained on them need them |
| anything else | HuBERT, wav2vec 2.0 or WavLM by hub id or local folder, its last layer |

Imports no torch, so that a command can name an encoder before it loads one.
"""

from collections.abc import Mapping
from typing import Any

MFCC, MFCC_CMVN = "mfcc", "mfcc-cmvn"
CEPSTRA = (MFCC, MFCC_CMVN)
"""Encoders without a model."""


def content_name(settings: Mapping[str, Any]) -> str:
    """Name of the encoder of a corpus version. `settings`: section `content` of the config that is recorded in it."""
    engine = str(settings.get("engine", MFCC))
    return str(settings["model"]) if engine == "encoder" else engine
