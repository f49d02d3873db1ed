"""Test sets: what training holds back, bounded, named by content; and what a small corpus gives instead."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from voicemill.model.data.index import index
from voicemill.model.data.split import split
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.testset import GallerySettings, HeldOut, TestSetSettings, gallery
from voicemill.model.settings.training import DataSettings
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NoData
from voicemill.storage.units import RATE

ALL = TestSetSettings(sentences=100)


@pytest.mark.parametrize("by", ["recordings", "speakers"])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_it_is_what_training_never_sees(corpus: CorpusVersion, by: str, share: float) -> None:
    """By the split that training itself makes."""
    data = DataSettings(validation_share=share)
    found = index(corpus, data)
    masks = {"all": np.ones(len(found), dtype=bool)}
    divided = split(found, masks, {"all": 1.0}, by, share, 10**6)  # type: ignore[arg-type]
    made = testset.make(corpus, (), ALL, HeldOut(data, by))  # type: ignore[arg-type]
    seen = {found.ids.item(row).decode() for row in divided.training["all"]}
    ids = {sentence.id for sentence in made.sentences}
    assert ids == {found.ids.item(row).decode() for row in divided.validation}
    assert not ids & seen
    assert all(sentence.unheard for sentence in made.sentences)
    assert made.notes == ()


def test_a_sentence_has_its_words_its_recording_and_a_reference_of_another_recording(corpus: CorpusVersion) -> None:
    rows = {
        row["id"]: row for row in corpus.utterances(["id", "text", "speaker", "upload", "start", "stop"]).to_pylist()
    }
    made = testset.make(corpus, ["bob"], ALL)
    assert made.sentences
    for sentence in made.sentences:
        row, reference = rows[sentence.id], rows[sentence.reference.id]
        assert (sentence.text, sentence.speaker, sentence.language) == (row["text"], "bob", "en")
        assert sentence.recording is not None
        assert len(sentence.recording) == row["stop"] - row["start"]
        assert reference["speaker"] == "bob"
        assert reference["upload"] != row["upload"]
        assert sentence.reference.text == reference["text"]
        assert 3 <= len(sentence.reference.wave) / RATE <= 10


def test_the_same_corpus_and_settings_give_the_same_name_and_any_change_another(corpus: CorpusVersion) -> None:
    made = testset.make(corpus, ["ann"], ALL)
    assert testset.make(corpus, ["ann"], ALL).sha256 == made.sha256
    assert testset.make(corpus, ["bob"], ALL).sha256 != made.sha256
    first, *rest = made.sentences
    assert first.recording is not None
    louder = replace(first, recording=first.recording * np.float32(1.001))
    for changed in ((replace(first, text="other words"), *rest), (louder, *rest), tuple(rest)):
        assert replace(made, sentences=changed).sha256 != made.sha256


@pytest.mark.parametrize("most", [1, 4, 7])
def test_a_smaller_set_is_the_beginning_of_a_larger_one_and_speakers_take_turns(
    corpus: CorpusVersion, most: int
) -> None:
    held = HeldOut(DataSettings(validation_share=0.5))
    large = testset.make(corpus, (), ALL, held).sentences
    small = testset.make(corpus, (), TestSetSettings(sentences=most), held).sentences
    assert [s.id for s in small] == [s.id for s in large[:most]]
    whose = [s.speaker for s in large]
    assert len(set(whose[: len(set(whose))])) == len(set(whose))


def test_texts_of_ones_own_have_no_recording(corpus: CorpusVersion) -> None:
    made = testset.make(corpus, ["ann"], TestSetSettings(sentences=1, texts=("Quite new.",)))
    recorded, new = made.sentences
    assert (new.text, new.recording, new.reference.id) == ("Quite new.", None, recorded.reference.id)


def test_one_recording_alone_is_judged_on_what_was_trained_on_and_that_is_said(
    build: Callable[..., CorpusVersion],
) -> None:
    corpus = build(ann=[8.0], bob=[8.0, 8.0])
    made = testset.make(corpus, ["ann"], ALL)
    assert [sentence.unheard for sentence in made.sentences] == [False, False]
    assert "flatter" in made.notes[0]
    one, other = made.sentences
    assert (one.reference.id, other.reference.id) == (other.id, one.id)


def test_short_utterances_are_joined_to_a_reference(build: Callable[..., CorpusVersion]) -> None:
    made = testset.make(build(ann=[4.0, 4.2, 4.4]), ["ann"], ALL)
    assert any("several make a reference" in note for note in made.notes)
    for sentence in made.sentences:
        parts = sentence.reference.id.split("+")
        assert len(parts) == 2
        assert sentence.id not in parts
        assert 3 <= len(sentence.reference.wave) / RATE <= 10


def test_too_little_speech_to_clone_is_an_error_that_says_what_to_do(build: Callable[..., CorpusVersion]) -> None:
    corpus = build(ann=[2.6], bob=[8.0, 8.0])
    with pytest.raises(NoData, match=r"no 3 s of speech of ann.*voicemill refresh"):
        testset.make(corpus, ["ann"], ALL)
    with pytest.raises(ConfigError, match="no such speaker"):
        testset.make(corpus, ["eve"], ALL)


def test_the_gallery_holds_every_speaker_and_no_sentence(corpus: CorpusVersion) -> None:
    made = testset.make(corpus, ["ann"], ALL)
    spoken = {s.recording.tobytes() for s in made.sentences if s.recording is not None}
    found = gallery(corpus, made, GallerySettings(utterances=3))
    assert sorted(found) == ["ann", "bob", "cid"]
    assert {len(waves) for waves in found.values()} == {3}
    assert not spoken & {wave.tobytes() for waves in found.values() for wave in waves}
    assert next(iter(gallery(corpus, made, GallerySettings(speakers=2)))) == "ann"
