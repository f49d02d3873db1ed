"""Raw recordings without transcript, option or network: their corpus has text and word times, a voice trains on it."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.tiny_voice import VOICE_TOML

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store

SPEECH = Path(__file__).parents[3] / "shared" / "speech" / "recordings"
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1,localhost"}
"""Whatever would reach for a network fails at once."""
pytestmark = pytest.mark.slow


def test_recordings_without_transcripts_become_a_corpus_that_trains(
    alone: Any, synthesised: Path, tmp_path: Path
) -> None:
    inbox, store = tmp_path / "inbox", tmp_path / "store"
    for speaker in ("ann", "cem"):
        shutil.copytree(synthesised / speaker, inbox / speaker, ignore=shutil.ignore_patterns("*.txt", "*.json"))
    words = ("refresh", "--inbox", inbox, "--store", store, "--config", "default", "--assume-consent", "test")
    printed = alone(*words, **OFFLINE).out
    corpus = CorpusVersion.open(Store.open(store))
    rows = corpus.utterances(["speaker", "text", "words", "alignment", "language", "text_reason"]).to_pylist()
    ann = [row for row in rows if row["speaker"] == "ann"]
    assert ann
    assert all(row["text"] and row["words"] and row["alignment"] == "aligned" for row in ann)
    german = [row for row in rows if row["speaker"] == "cem"]
    assert german
    assert all(not row["text"] and row["text_reason"] for row in german)  # no English is invented for it
    assert "cem" in printed  # whoever cannot be trained is named
    (tmp_path / "training.toml").write_text(VOICE_TOML)
    trained = ("train", "--store", store, "--config", tmp_path / "training.toml", "--speaker")
    alone(*trained, "ann", VOICEMILL_LOCKS=str(tmp_path))
    refused = alone(*trained, "cem", status=2, VOICEMILL_LOCKS=str(tmp_path))
    assert "without text" in refused.err
    assert "[transcribe] model" in refused.err


@pytest.mark.realdata
# nightly: the recogniser reads 80 minutes. On a push tests/tasks/stages/test_transcribe.py reads a few files
@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech")
def test_no_foreign_recording_gets_an_english_text(alone: Any, tmp_path: Path) -> None:
    """All recordings, with neither text nor language stated."""
    with (SPEECH / "metadata.csv").open(encoding="utf-8") as file:
        languages = {row["file"]: row["language"] for row in csv.DictReader(file)}
    inbox, store = tmp_path / "inbox", tmp_path / "store"
    shutil.copytree(SPEECH, inbox, ignore=shutil.ignore_patterns("*.csv", "*.rttm", "*.txt", "*.json"))
    words = ("refresh", "--inbox", inbox, "--store", store, "--config", "default", "--assume-consent", "test")
    alone(*words, "--json", timeout=3000, **OFFLINE)
    corpus = CorpusVersion.open(Store.open(store))
    texts: dict[str, list[str]] = {}
    for row in corpus.utterances(["path", "text"]).to_pylist():
        texts.setdefault(row["path"], []).append(row["text"])
    foreign = {path for path in texts if languages[path] not in ("en", "und", "en+zh")}
    english = {path for path in texts if languages[path] == "en"}
    assert [path for path in foreign if any(texts[path])] == []
    assert sum(any(texts[path]) for path in english) / len(english) >= 0.99
