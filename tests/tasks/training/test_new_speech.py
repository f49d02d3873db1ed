"""When a voice is trained again: the decision, and what counts as new speech."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import factories as f

from voicemill.model.settings.training import RetrainSettings
from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store
from voicemill.tasks.training.new_speech import Decision, NewSpeech, decide_retraining, find_new_speech

LIMITS = RetrainSettings(new_minutes=10, new_speakers=2)

TABLE = [
    # since, version, minutes, new speakers, forced -> verdict
    (0, 1, 0.1, 1, False, "First training"),
    (0, 4, 90.0, 9, False, "First training"),
    (3, 3, 0.0, 0, False, "Nothing new"),
    (3, 2, 50.0, 5, False, "Nothing new"),
    (3, 4, 0.0, 0, False, "Too little new"),
    (3, 4, 9.9, 1, False, "Too little new"),
    (3, 4, 10.0, 0, False, "New speech"),
    (3, 4, 99.0, 7, False, "New speech"),
    (3, 4, 1.0, 2, False, "New speakers"),
    (3, 3, 0.0, 0, True, "Forced"),
    (0, 1, 0.1, 1, True, "Forced"),
]


@pytest.mark.parametrize(("since", "version", "minutes", "speakers", "force", "verdict"), TABLE)
def test_the_table(since: int, version: int, minutes: float, speakers: int, force: bool, verdict: str) -> None:
    new = NewSpeech(since, minutes, tuple(f"s{n}" for n in range(speakers)))
    found = decide_retraining(new, version, LIMITS, force=force)
    assert found.verdict == verdict
    assert found.train == (verdict not in ("Nothing new", "Too little new"))
    assert found.new == new


def test_the_reason_says_how_much_there_is_and_how_much_is_asked_for() -> None:
    found = decide_retraining(NewSpeech(3, 1.25, ("x",)), 4, LIMITS, force=False)
    assert found.reason == "1.2 min of new speech and 1 new speaker since version 3: at least 10 min or 2 are asked for"


@given(st.integers(1, 5), st.integers(1, 9), st.floats(0, 100), st.integers(0, 5), st.floats(0, 100), st.integers(0, 5))
def test_more_speech_never_turns_a_yes_into_a_no(
    since: int, version: int, minutes: float, speakers: int, more: float, others: int
) -> None:
    def decided(minutes: float, speakers: int) -> Decision:
        return decide_retraining(NewSpeech(since, minutes, ("x",) * speakers), version, LIMITS, force=False)

    if decided(minutes, speakers).train:
        assert decided(minutes + more, speakers + others).train


BATCHES = [f.make_batch(1, f.upload("ann"), f.upload("bob")), f.make_batch(2, f.upload("ann", 1), f.upload("cid"))]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Version 2 has more of ann, and cid; version 3 holds the same uploads by another recipe."""
    store = Store.open(tmp_path_factory.mktemp("new") / "store", create=True)
    f.corpus(store, BATCHES[:1])
    f.corpus(store, BATCHES)
    f.corpus(store, BATCHES, recipe="another recipe")
    assert len(versions.history(store)) == 3
    return store


def minutes_of(store: Store, number: int, speaker: str | None = None) -> float:
    rows = CorpusVersion.open(store, number).utterances(["speaker", "seconds"]).to_pylist()
    return sum(row["seconds"] for row in rows if speaker in (None, row["speaker"])) / 60


def test_new_is_what_comes_of_uploads_that_the_other_version_had_not(store: Store) -> None:
    first, second, third = (CorpusVersion.open(store, number) for number in (1, 2, 3))
    new = find_new_speech(second, first)
    assert (new.since, new.speakers) == (1, ("cid",))
    assert new.minutes == pytest.approx(minutes_of(store, 2) - minutes_of(store, 1))
    assert new.minutes > 0
    assert find_new_speech(first, None) == NewSpeech(0, pytest.approx(minutes_of(store, 1)), ("ann", "bob"))
    assert find_new_speech(third, second) == NewSpeech(2, 0.0, ())  # cut anew, nothing new to hear
    assert find_new_speech(first, second).minutes == 0


def test_with_targets_only_their_speech_counts(store: Store) -> None:
    first, second = CorpusVersion.open(store, 1), CorpusVersion.open(store, 2)
    new = find_new_speech(second, first, ["ann"])
    assert new.speakers == ()
    assert new.minutes == pytest.approx(minutes_of(store, 2, "ann") - minutes_of(store, 1, "ann"))
    assert 0 < new.minutes < find_new_speech(second, first).minutes
    assert find_new_speech(second, first, ["bob"]) == NewSpeech(1, 0.0, ())


def test_a_store_on_disk_decides_alike(store: Store, tmp_path: Path) -> None:
    """From the tables to the verdict, with limits just under and just over what is there."""
    new = find_new_speech(CorpusVersion.open(store, 2), CorpusVersion.open(store, 1))
    over, under = new.minutes * 1.01, new.minutes * 0.99
    assert (
        decide_retraining(new, 2, RetrainSettings(new_minutes=over, new_speakers=2), force=False).verdict
        == "Too little new"
    )
    assert (
        decide_retraining(new, 2, RetrainSettings(new_minutes=under, new_speakers=2), force=False).verdict
        == "New speech"
    )
    assert (
        decide_retraining(new, 2, RetrainSettings(new_minutes=over, new_speakers=1), force=False).verdict
        == "New speakers"
    )
