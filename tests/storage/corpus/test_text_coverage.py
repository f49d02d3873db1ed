"""Why utterances have no text: counted by speaker, language and reason, with what gives them one."""

from pathlib import Path

import pytest
from support import factories as f

from voicemill.flows.plans.retrain import RetrainOptions, plan_retrain
from voicemill.storage.corpus.text_coverage import remedy, text_gaps, text_shares
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NothingYet
from voicemill.storage.outcomes import Reason
from voicemill.storage.store import Store

GERMAN, MIXED, FULL = f.upload("anna"), f.upload("bob"), f.upload("cem")


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusVersion:
    """Two utterances each: anna's German has no recogniser, one of bob's has doubtful words, cem has text."""

    def mute(made: f.Made) -> None:
        silent: dict[str, object] = {"text": "", "words": (), "status": "no_text"}
        for index in (0, 1):
            made.change("transcribe", GERMAN.sha256, index, text="", reason="no_recogniser", engine="")
            made.change("align", GERMAN.sha256, index, language="de", **silent)
        made.change("transcribe", MIXED.sha256, 1, text="", reason="doubtful_text")
        made.change("align", MIXED.sha256, 1, **silent)

    store = Store.open(tmp_path / "store", create=True)
    assert f.corpus(store, [f.make_batch(1, GERMAN, MIXED, FULL)], mute) is not None
    return CorpusVersion.open(store)


def test_shares_and_gaps_add_up(corpus: CorpusVersion) -> None:
    shares = {(s.speaker, s.language): s for s in text_shares(corpus)}
    assert list(shares) == [("anna", "de"), ("bob", "en"), ("cem", "en")]
    assert sum(s.utterances for s in shares.values()) == len(corpus.utterances(["id"])) == 6
    assert [(s.with_text, s.with_times, dict(s.gaps)) for s in shares.values()] == [
        (0, 0, {"no_recogniser": 2}),
        (1, 1, {"doubtful_text": 1}),
        (2, 2, {}),
    ]
    assert shares["anna", "de"].text_seconds == 0 < shares["anna", "de"].seconds
    gaps = text_gaps(shares.values())
    assert [(gap.speakers, gap.untrainable, gap.utterances) for gap in gaps] == [
        (("anna",), True, 2),
        (("bob",), False, 1),
    ]
    assert gaps[0].line == (
        "anna: 2 utterances without text: no recogniser for de on this machine; give transcripts or set "
        "[transcribe] model"
    )
    assert text_gaps(shares.values(), ["cem"]) == []


def test_a_voice_of_a_speaker_without_text_is_told_why(corpus: CorpusVersion) -> None:
    options = {"store": str(corpus.store.root), "config": "tiny"}
    with pytest.raises(NothingYet, match=r"no recogniser for de on this machine; give transcripts") as caught:
        plan_retrain(RetrainOptions(**options, speakers=["anna"]))
    assert caught.value.state == "No text of anna yet"
    assert "recordings" not in str(caught.value)
    assert plan_retrain(RetrainOptions(**options, speakers=["bob"])).speakers == ("bob",)


@pytest.mark.parametrize("reason", ["", *(r for r in Reason if r.meaning.startswith("kept without text"))])
def test_every_reason_has_a_remedy(reason: str) -> None:
    line = remedy(reason, "de")
    assert "kept without text" not in line
    assert "give transcripts" in line or "correct the transcripts" in line
