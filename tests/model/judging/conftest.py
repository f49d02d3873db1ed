"""A small corpus version to judge on, and a voice without networks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import factories as f

from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Speech
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.storage.units import RATE

TEXT = "what a lovely day it is to say something"


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CorpusVersion]:
    """Make a version from the seconds of each speaker's recordings: a batch and two utterances per recording."""

    def make(**speakers: Sequence[float]) -> CorpusVersion:
        store = Store.open(tmp_path_factory.mktemp("corpus") / "store", create=True)
        batches = [
            f.make_batch(number, f.upload(speaker, number, seconds, TEXT))
            for speaker, lengths in speakers.items()
            for number, seconds in enumerate(lengths, 1)
        ]
        assert f.corpus(store, batches) is not None
        return CorpusVersion.open(store)

    return make


@pytest.fixture(scope="session")
def corpus(build: Callable[..., CorpusVersion]) -> CorpusVersion:
    """Three speakers with four recordings each, utterances of 3.5 s and more; tests only read it."""
    return build(ann=[8.0, 8.4, 8.8, 9.2], bob=[8.0, 8.4, 8.8, 9.2], cid=[8.0, 8.4, 8.8, 9.2])


class Echo:
    """A voice that plays its reference for as long as the text is and records its calls; refuses texts with "hush"."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard: list[int] = []

    def reference(self, recordings: Sequence[Path | str | Wave], text: str = "", language: str = "auto") -> Any:
        (wave,) = recordings
        assert isinstance(wave, np.ndarray)
        self.heard.append(len(wave))
        return wave

    def speak(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Speech:
        self.said.append(text)
        if "hush" in text:
            raise ConfigError("nothing to say")
        return Speech(np.resize(reference, len(text) * RATE // 20).astype(np.float32), ())

    def stream(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Any:
        raise AssertionError("a test set is not streamed")


@pytest.fixture
def echo() -> Echo:
    return Echo()
