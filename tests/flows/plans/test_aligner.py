"""Making an aligner from a store: the folder, its repeatability, and what forgetting a speaker does to it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import factories as f

from voicemill.flows.plans.aligner import make_aligner
from voicemill.model.aligner.aligner import WEIGHTS
from voicemill.storage.errors import ConfigError, NoData, StoreError
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store

TEXTS = ("hello there old friend", "the old letter", "nobody had a letter there", "a friend had hello")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One corpus version of three speakers, who all make noise: nothing to align, and enough to train on."""
    opened = Store.open(tmp_path / "store", create=True)
    uploads = [
        f.upload(speaker, number, 11.0, text=TEXTS[number % len(TEXTS)])
        for speaker, count in (("ann", 10), ("bob", 3), ("zoë", 3))
        for number in range(count)
    ]
    f.corpus(opened, [f.make_batch(1, *uploads)])
    return opened


@pytest.mark.slow
def test_the_folder_is_the_same_for_the_same_corpus(alone: Any, store: Store, tmp_path: Path) -> None:
    one = make_aligner(store, "en")
    words = ("aligner", "train", "--store", store.root, "--language", "en", "--version", 1, "--out", tmp_path / "two")
    printed = alone(*words, "--json").json
    two = Path(printed["folder"])
    assert one.folder == store.models / "aligner-en"
    names = sorted(path.name for path in one.folder.iterdir())
    assert names == [WEIGHTS, "card.json", "metrics.json"]
    for name in (WEIGHTS, "card.json"):
        assert (one.folder / name).read_bytes() == (two / name).read_bytes()
    measured = json.loads((two / "metrics.json").read_text())
    assert printed == {"folder": str(two)} | measured
    spoken = ("synthetic",)  # the command also measures on synthetic speech where a synthesiser is installed
    assert {k: v for k, v in measured.items() if k not in spoken} == {
        k: v for k, v in one.figures.items() if k not in spoken
    }
    figures = json.loads((one.folder / "metrics.json").read_text())
    assert figures == json.loads(json.dumps(one.figures))
    assert figures["corpus_version"] == 1
    assert sum(figures[part]["clips"] for part in ("train", "calibrate", "new_speakers", "known_speakers")) == 32
    assert figures["synthetic"] is None
    make_aligner(store, "en")  # an aligner is replaced


@pytest.mark.slow
def test_forgetting_names_the_aligner_that_used_the_speaker(store: Store) -> None:
    made = make_aligner(store, "en")
    receipt = forget_speaker(store, "zoë", created=f.WHEN)
    assert receipt.models == ("aligner-en",)
    assert (made.folder / WEIGHTS).is_file()
    assert "models/aligner-en/card.json" in receipt.mentions
    with pytest.raises(StoreError, match="was forgotten: no training uses that version"):
        make_aligner(store, "en")


def test_what_cannot_be_made_is_refused_before_anything_is_trained(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NoData, match="no utterance in 'de' with a text"):
        make_aligner(store, "de")
    with pytest.raises(ConfigError, match="ISO 639-1"):
        make_aligner(store, "../x")
    with pytest.raises(StoreError, match="no corpus version 7"):
        make_aligner(store, "en", version=7)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="holds no aligner"):
        make_aligner(store, "en", out=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"
