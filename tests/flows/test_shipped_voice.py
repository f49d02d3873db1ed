"""The voice that comes with voicemill: small, named by its card, and understood by a recogniser."""

from pathlib import Path
from typing import Any

import pytest
import soundfile

from voicemill.model.embedded import PREFIX, WHISPER
from voicemill.model.export.folder import read_folder
from voicemill.model.judging.metrics.recognition import plain, word_errors, words
from voicemill.model.speech.recogniser import find_model, load
from voicemill.model.voices.shipped import SHIPPED
from voicemill.storage.units import RATE

LARGEST = 5_000_000
"""Bytes of the whole voice."""
SENTENCES = (
    "Good morning.",
    "We could hear thunder rolling somewhere beyond the ridge.",
    "The shop sells nothing but buttons, ribbons, and thread.",
    "There is a small bakery behind the post office.",
)


def test_it_is_small_and_has_a_card() -> None:
    folder = read_folder(SHIPPED)
    assert folder.manifest.default_voice
    assert folder.bytes < LARGEST
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for named in ("CC0", "demo-corpus", "tests/bench/voices.py", "synthetic"):
        assert named in card


@pytest.mark.slow
@pytest.mark.skipif(not WHISPER.is_installed, reason="the extra `models` is not installed")
def test_it_speaks_without_another_argument_and_is_understood(cli: Any, tmp_path: Path) -> None:
    waves = []
    for number, text in enumerate(SENTENCES):
        cli("speak", "--text", text, "--out", tmp_path / f"{number}.wav")
        wave, rate = soundfile.read(tmp_path / f"{number}.wav", dtype="float32")
        assert rate == RATE
        waves.append(wave)
    recogniser = load(find_model(PREFIX + WHISPER.name, "model"), "cpu", "default", 5, "faster-whisper")
    heard = [words(plain(text, "en"), "en") for text, _ in recogniser.transcribe(waves, "en")]
    said = [words(plain(text, "en"), "en") for text in SENTENCES]
    errors = sum(word_errors(one, other) for one, other in zip(said, heard, strict=True))
    assert errors <= 0.12 * sum(map(len, said)), heard
