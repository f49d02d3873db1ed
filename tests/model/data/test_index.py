"""The index: everything that can be trained on, each other utterance for one counted reason."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support import factories as f

from voicemill.model.data.index import LeftOut, index
from voicemill.model.settings.training import DataSettings
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.tensors import encode
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NoData, StoreError
from voicemill.storage.forgetting import tombstones
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.outcomes import Outcome
from voicemill.storage.store import Store

TEXT = "what a lovely day it is to say something"
GOOD, BAD = f.upload("ann", 0, 8, TEXT), f.upload("bob", 1, 8, TEXT)

CHANGES: dict[LeftOut, tuple[str, dict[str, Any]]] = {
    LeftOut.NO_TEXT: ("align", {"text": " "}),
    LeftOut.LANGUAGE: ("align", {"language": "de"}),
    LeftOut.NO_PHONES: ("align", {"text": "... ?!"}),
    LeftOut.UNSAYABLE: ("align", {"text": "你好\U00030000", "language": "zh"}),
    LeftOut.FEW_PHONES: ("align", {"text": "eh"}),
    LeftOut.MANY_PHONES: ("align", {"text": "responsibility " * 20}),
    LeftOut.NOT_FINITE: ("loudness", {"after": float("nan")}),
    LeftOut.UNFIT: ("content", {"frames": 9, "dims": 39, "data": encode(np.zeros((9, 39)))}),
}


def test_what_a_version_holds(corpus: CorpusVersion) -> None:
    found = index(corpus, DataSettings())
    rows = corpus.utterances(["id", "upload", "speaker", "language", "start", "stop"]).to_pylist()
    assert [name.decode() for name in found.ids.tolist()] == [row["id"] for row in rows]
    assert [found.speakers[n] for n in found.speaker] == [row["speaker"] for row in rows]
    assert [found.uploads[n] for n in found.upload] == [row["upload"] for row in rows]
    assert [found.languages[n] for n in found.language] == [row["language"] for row in rows]
    assert found.frames.tolist() == [(row["stop"] - row["start"]) // 640 for row in rows]
    numbers = {row["sha256"]: row["batch_number"] for row in corpus.uploads().to_pylist()}
    assert found.batches.tolist() == [numbers[sha256] for sha256 in found.uploads]
    assert (found.version, found.dims, dict(found.left_out)) == (1, 39, {})
    files = corpus.files("utterances")
    assert [found.shards[n].utterances for n in found.shard] == [str(file) for file in files for _ in range(4)]
    assert found.row.tolist() == [0, 1, 2, 3] * len(files)


@pytest.mark.parametrize("reason", CHANGES)
def test_each_reason_happens(store: Store, reason: LeftOut) -> None:
    stage, values = CHANGES[reason]
    f.corpus(store, [f.make_batch(1, GOOD, BAD)], lambda made: made.change(stage, BAD.sha256, 1, **values))
    found = index(CorpusVersion.open(store), DataSettings())
    assert found.left_out == {reason: 1}
    assert len(found) == 3
    assert f"{BAD.sha256[:16]}-0001".encode() not in found.ids


def test_reasons_of_length(corpus: CorpusVersion) -> None:
    found = index(corpus, DataSettings(shortest_s=1.5, longest_s=2.5))
    whole = index(corpus, DataSettings())
    assert found.left_out == {
        LeftOut.TOO_SHORT: int((whole.frames < 75).sum()),
        LeftOut.TOO_LONG: int((whole.frames > 125).sum()),
    }
    assert len(found) + sum(found.left_out.values()) == len(whole)
    assert {*CHANGES, *found.left_out, LeftOut.TIER} == set(LeftOut)
    assert all(reason.meaning and reason.remedy for reason in LeftOut)


def test_tiers_select(store: Store) -> None:
    def judge(made: f.Made) -> None:
        for name, place, ovrl in ((GOOD, 0, 4.0), (GOOD, 1, 2.5), (BAD, 0, 1.0)):
            made.change("quality", name.sha256, place, engine="network", ovrl=ovrl)

    f.corpus(store, [f.make_batch(1, GOOD, BAD)], judge)
    corpus = CorpusVersion.open(store)
    ids = [f"{name.sha256[:16]}-{place:04}" for name, place in ((GOOD, 0), (GOOD, 1), (BAD, 0), (BAD, 1))]
    tiers = {row["id"]: row["tier"] for row in corpus.utterances(["id", "tier"]).to_pylist()}
    assert [tiers[name] for name in ids] == ["A", "B", "C", None]
    assert index(corpus, DataSettings()).left_out == {}
    for chosen, kept in ((("A",), ids[:1]), (("B", "A"), ids[:2]), (("C",), ids[2:3])):
        found = index(corpus, DataSettings(tiers=chosen))
        assert sorted(name.decode() for name in found.ids.tolist()) == sorted(kept)
        assert found.left_out == {LeftOut.TIER: 4 - len(kept)}


def test_content_may_be_a_frame_short(store: Store) -> None:
    """As that of HuBERT is, whose first layer has no padding."""

    def shorten(made: f.Made) -> None:
        for row in tuple(made.rows["content"]):
            values = np.frombuffer(row.data, "<f2").reshape(row.frames, row.dims)[:-1]
            made.change("content", row.upload, row.index, frames=row.frames - 1, data=encode(values))

    f.corpus(store, [f.make_batch(1, GOOD)], shorten)
    assert index(CorpusVersion.open(store), DataSettings()).left_out == {}


def test_the_error_of_an_empty_index_names_reasons_and_remedies(store: Store) -> None:
    def spoil(made: f.Made) -> None:
        made.change("align", GOOD.sha256, 0, text="")
        made.change("align", GOOD.sha256, 1, language="de")
        made.change("align", BAD.sha256, 0, text="")

    f.corpus(store, [f.make_batch(1, GOOD, BAD)], spoil)
    with pytest.raises(NoData) as caught:
        index(CorpusVersion.open(store), DataSettings(shortest_s=7))
    message = str(caught.value)
    assert f"corpus version 1 of {store.root} has no utterance that can be trained on. Its 4 utterances:" in message
    assert "\n  2 no_text: it has no transcript; put a .txt beside the upload" in message
    assert "\n  1 language: the text front end does not support its language" in message
    assert "\n  1 too_short: shorter than data.shortest_s; lower data.shortest_s" in message


def test_a_version_without_utterances(store: Store) -> None:
    def filtered(made: f.Made) -> None:
        for row in tuple(made.rows["screen"]):
            made.change("screen", row.upload, row.index, outcome=Outcome.FILTERED, reason="noisy")

    f.corpus(store, [f.make_batch(1, GOOD)], filtered)
    with pytest.raises(NoData, match="has no utterances: `voicemill ledger` shows"):
        index(CorpusVersion.open(store), DataSettings())


def test_somebody_forgotten_is_refused(store: Store) -> None:
    batches = [f.make_batch(1, GOOD), f.make_batch(2, BAD)]
    f.corpus(store, batches[:1])
    f.corpus(store, batches)
    forget_speaker(store, "bob", created=f.WHEN)
    assert len(index(CorpusVersion.open(store, 1), DataSettings())) == 2  # bob was not in it
    with pytest.raises(
        StoreError, match=r"corpus version 2 of .* a speaker of it was forgotten. `voicemill refresh` makes"
    ):
        index(CorpusVersion.open(store, 2), DataSettings())
    assert f.corpus(store, batches[:1]) is not None
    assert len(index(CorpusVersion.open(store), DataSettings())) == 2
    with pytest.raises(StoreError, match=r"was forgotten\. Train on version 3"):
        index(CorpusVersion.open(store, 2), DataSettings())


def test_somebody_who_is_being_forgotten_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forgetting was interrupted behind its first note: nothing is gone yet."""
    f.corpus(store, [f.make_batch(1, GOOD, BAD)])
    monkeypatch.setattr(tombstones, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        forget_speaker(store, "bob", created=f.WHEN)
    with pytest.raises(StoreError, match="a speaker of it was forgotten"):
        index(CorpusVersion.open(store), DataSettings())


def test_shards_that_do_not_fit_are_named(store: Store) -> None:
    """A log that lost one file of a feature table."""
    version = f.corpus(store, [f.make_batch(1, GOOD, BAD)])
    assert version is not None
    table = f.FEATURE_TABLES["content"]
    left = list(tables.active(store, table).values())[:1]
    pin = tables.commit(store, table, left)
    corpus = CorpusVersion(store, replace(version, pins={**version.pins, table: pin}))
    with pytest.raises(StoreError, match=r"the shards of its features are not those of its utterances. Delete"):
        index(corpus, DataSettings())
