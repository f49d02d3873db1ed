"""The model card states the origin, figures, intended use and history of an entry."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import factories as f
from support.model_cards import make_card, make_training

from voicemill.flows.report.model_card import model_card
from voicemill.model.judging.scores import Scores
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import Card, Entry, WeightsFile


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"), f.upload("bob"))])
    return store


def card(**changes: object) -> Card:
    training = make_training(
        adapt="lora",
        outcome="early",
        detail="patience",
        steps=90,
        best_step=50,
        best=1.25,
        seconds=12.5,
        folder="run-1",
    )
    base = {"s2": WeightsFile("s2G2333k.pth", "ab" * 32)}
    weights = {"s2": "s2.safetensors", "s1": "/elsewhere/s1.ckpt"}
    given = {"trainings": (training,), "base": base, "code": "0.1+x", "reason": "new | speech", "weights": weights}
    return make_card(**(given | changes))


@pytest.fixture
def entry(store: Store, tmp_path: Path) -> Entry:
    (tmp_path / "s2").write_bytes(b"weights")
    return registry.add(store, card(heard=("ann",)), {"s2": tmp_path / "s2"})


def cells(text: str, first: str) -> Iterator[list[str]]:
    """Rows of the card's tables whose first cell is `first`."""
    for line in text.splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if row[0] == first:
            yield row


def test_a_candidate(store: Store, entry: Entry) -> None:
    text = model_card(store, entry)
    assert text.startswith(f"# ann/0001\n\nA trained voice, candidate, of {f.WHEN}. New | speech.\n")
    assert list(cells(text, "corpus version")) == [["corpus version", "1"]]
    assert list(cells(text, "trained on the speech of")) == [["trained on the speech of", "ann"]]
    assert list(cells(text, "base of s2")) == [["base of s2", "`s2G2333k.pth`, sha256 `abababababababab`"]]
    assert list(cells(text, "s2")) == [["s2", "finetune", "lora", "early", "90", "50", "1.25"]]
    assert list(cells(text, "`s2.safetensors`")) == [
        ["`s2.safetensors`", "7", f"`{entry.card.files['s2.safetensors']}`"]
    ]
    assert list(cells(text, "`/elsewhere/s1.ckpt` (s1)")) == [
        ["`/elsewhere/s1.ckpt` (s1)", "gone", "outside the entry"]
    ]
    assert "- consent of ann: " in text
    assert "consent of bob" not in text
    assert "`voicemill evaluate` measures them" in text
    assert "`voicemill watermark check`" in text
    assert "A candidate since it was added." in text


def test_figures_and_history(store: Store, entry: Entry) -> None:
    found = Scores(
        testset="ab" * 32,
        voice="ann/0001",
        items={"cer": {"a": 0.25}},
        totals={"cer": 0.25, "bytes": 7},
        missing={"mos": "nobody is asked"},
    )
    registry.add_scores(entry, replace(found, totals={"cer": 0.5}).as_json())
    registry.add_scores(entry, found.as_json())
    by = {"who": "eve", "when": "2026-01-01"}
    status.promote(entry.folder.parent, 1, "trained", instead_of=0, why="heard it", forced=True, **by)
    text = model_card(store, entry)
    assert "A trained voice, champion" in text
    assert list(cells(text, "cer")) == [
        ["cer", "0.25", "share", "1", "Character error rate of the recogniser's transcript"]
    ]  # the newest evaluation on this test set
    assert "- missing: mos: nobody is asked" in text
    assert list(cells(text, "2026-01-01")) == [["2026-01-01", "champion (forced)", "eve", "heard it"]]


def test_lineage(store: Store, entry: Entry, tmp_path: Path) -> None:
    small = {"weights": {"onnx": "onnx"}, "kind": "compressed", "parent": "ann/0002", "base": {}}
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "s2.onnx").write_bytes(b"graph")
    registry.add(store, card(kind="student", parent=entry.name), {"s2": tmp_path / "s2"})
    last = registry.add(store, card(account="| network | bytes |", **small), {"onnx": tmp_path / "onnx"})
    text = model_card(store, last)
    assert [row[1] for row in cells(text, "made from")] == ["ann/0002 (student)", "ann/0001 (trained)"]
    assert "## Compression\n\n| network | bytes |" in text
    assert list(cells(text, "`onnx/s2.onnx`"))
    lost = registry.add(store, card(kind="light", parent="gone/0001"), {"s2": tmp_path / "s2"})
    assert [row[1] for row in cells(model_card(store, lost), "made from")] == ["gone/0001, which is gone"]


def test_after_forgetting(store: Store, entry: Entry) -> None:
    forget_speaker(store, "ann", created=f.WHEN)
    text = model_card(store, entry)
    assert "A trained voice, retired" in text
    assert "**a speaker of this corpus version was forgotten since**" in text
    assert [row[1:3] for row in cells(text, f.WHEN)] == [["retired", "forget"]]
