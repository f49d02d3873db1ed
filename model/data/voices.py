"""Speaker vectors of a corpus version: the mean of the vectors that the stage `speaker` stored, for each speaker."""

import numpy as np
from numpy.typing import NDArray

from voicemill.model.speaker.comparison import unit
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError

STAGE = "speaker"


def mean_voices(corpus: CorpusVersion) -> dict[str, NDArray[np.float32]]:
    """Speaker -> float32 [256], of length 1. Every utterance counts the same: most are a few seconds long.

    Raises ConfigError where the version has no speaker vectors.
    """
    if STAGE not in corpus.version.features:
        raise ConfigError(
            f"corpus version {corpus.version.number} of {corpus.store.root} has no speaker vectors, which the light "
            "system learns from with light.encoder = 'ge2e': install the extra `models`, set speaker.engine = 'auto' "
            "and run `voicemill refresh`, or set light.encoder = 'ecapa'"
        )
    sums: dict[str, NDArray[np.float64]] = {}
    rows = corpus.features(STAGE, ["data", "speaker"])
    for data, speaker in zip(rows["data"].to_pylist(), rows["speaker"].to_pylist(), strict=True):
        sums[speaker] = sums.get(speaker, 0.0) + np.frombuffer(data, "<f2").astype(np.float64)
    return {speaker: unit(total.astype(np.float32)) for speaker, total in sums.items()}
