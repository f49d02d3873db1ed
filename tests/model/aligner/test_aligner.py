"""An aligner on synthetic speech: trained, measured, written, read back; the words that it places."""

import json
from pathlib import Path

import numpy as np
import pytest

from voicemill.flows.demo.timed_speech import timed_speech
from voicemill.flows.demo.voice import RATE as VOICE_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.aligner import measuring, recipe
from voicemill.model.aligner.aligner import THRESHOLD, WEIGHTS, TrainedAligner
from voicemill.model.aligner.measuring import Ratios, Spoken
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.text_fit import FitLimits
from voicemill.model.speech.word_placement import Unit, distribute
from voicemill.model.speech.words import Unalignable
from voicemill.storage.errors import ModelMissing, NoData
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Segment
from voicemill.storage.units import RATE
from voicemill.tasks.stages.align import Settings

SENTENCES = tuple(
    f"{subject} {verb} {thing} {place}."
    for number, (subject, verb, thing) in enumerate(
        (s, v, t)
        for s in ("Der alte Mann", "Meine Schwester", "Unser Lehrer")
        for v, t in (("findet", "den Schlüssel"), ("verkauft", "das Auto"), ("zeichnet", "einen Baum"))
    )
    for place in (("am Bahnhof", "hinter dem Haus", "in der Küche")[number % 3], "auf dem Markt")
)


def spoken(voice: str, texts: tuple[str, ...]) -> list[Spoken]:
    import soxr

    waves = speak([Line(text, voice) for text in texts])
    made = []
    for text, wave in zip(texts, waves, strict=True):
        words = tuple(text.split())
        low = soxr.resample(wave, VOICE_RATE, RATE).astype(np.float32)
        made.append(Spoken(voice, low, words, pronounce(words, "de")))
    return made


@pytest.fixture(scope="module")
def trained() -> tuple[TrainedAligner, recipe.Parts]:
    """An aligner from 1.5 min of two voices; a third calibrates, a fourth measures."""
    clips = [clip for voice in ("de+m1", "de+m3", "de+f4", "de+m7") for clip in spoken(voice, SENTENCES)]
    return recipe.make(clips, "de")


@pytest.mark.slow
def test_word_times_of_a_voice_that_it_did_not_learn_from(trained: tuple[TrainedAligner, recipe.Parts]) -> None:
    aligner, parts = trained
    assert len({clip.speaker for clip in parts.train}) >= 2
    assert {clip.speaker for clip in parts.new_speakers}.isdisjoint(clip.speaker for clip in parts.train)
    texts = [sentence.split() for sentence in ("Mein alter Lehrer verkauft den Baum.", "Der Mann zeichnet das Haus.")]
    clips = timed_speech(texts, "de")
    assert clips is not None
    found = measuring.boundaries(aligner, clips)
    assert found.count == 4 * 2 * (6 + 5)
    assert found.median_ms <= 30
    figures = recipe.metrics(aligner, parts)
    assert figures["new_speakers"]["texts"]["auc"] >= 0.98
    assert figures["new_speakers"]["texts"]["right_kept"] >= 0.9
    assert figures["new_speakers"]["joints"]["median_ms"] <= 30


@pytest.mark.slow
def test_the_folder_is_the_aligner_and_the_same_every_time(
    trained: tuple[TrainedAligner, recipe.Parts], tmp_path: Path
) -> None:
    aligner, parts = trained
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        figures = recipe.metrics(aligner, parts)
        recipe.write(tmp_path / name, aligner, figures, speakers=["b", "a", "b"], version=3, recipe="r")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["aligner.safetensors", "card.json", "metrics.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "card.json").read_text())["speakers"] == ["a", "b"]
    opened = TrainedAligner.load(tmp_path / "one" / WEIGHTS)
    assert opened.description == aligner.description
    clip = parts.new_speakers[0]
    emissions = opened.emissions([clip.wave])
    placed = opened.place(emissions, clip.words, "de")
    assert placed == aligner.place(aligner.emissions([clip.wave]), clip.words, "de")
    spans = placed.spans
    assert all(span and 0 <= span.start < span.stop <= len(clip.wave) for span in spans)
    with pytest.raises(Unalignable, match="do not fit"):
        opened.place(emissions, clip.words * 9, "de")
    with pytest.raises(Unalignable, match="no word"):
        opened.place(emissions, ["15"], "de")


@pytest.mark.slow
def test_half_a_text_is_refused(trained: tuple[TrainedAligner, recipe.Parts]) -> None:
    aligner, parts = trained
    limits = FitLimits(Settings().min_score_ctc, Settings().max_uncovered)
    statuses: dict[str, list[str]] = {"whole": [], "first half": [], "second half": []}
    for clip in parts.new_speakers:
        half, segment = (
            len(clip.words) // 2,
            Segment(upload="u", index=0, start=0, stop=len(clip.wave), outcome=Outcome.KEPT),
        )
        texts = (clip.words, clip.words[:half], clip.words[half:])
        for name, words in zip(statuses, texts, strict=True):
            placed = aligner.place(aligner.emissions([clip.wave]), words, "de")
            statuses[name] += [row.status for row in distribute(Unit((segment,), words, "de"), placed, limits)]
    assert statuses["whole"].count("aligned") >= 0.95 * len(parts.new_speakers)
    assert statuses["first half"].count("failed") >= 0.95 * len(parts.new_speakers)
    assert statuses["second half"].count("failed") >= 0.95 * len(parts.new_speakers)


@pytest.mark.slow
def test_a_number_takes_what_its_neighbours_leave(trained: tuple[TrainedAligner, recipe.Parts]) -> None:
    aligner, parts = trained
    clip = parts.new_speakers[0]
    emissions = aligner.emissions([clip.wave])
    plain = aligner.place(emissions, clip.words, "de").spans
    with_number = aligner.place(emissions, [*clip.words[:1], "77", *clip.words[2:]], "de").spans
    for before, after in zip(plain[3:], with_number[3:], strict=True):
        assert before is not None
        assert after is not None
        assert abs(before.start - after.start) <= RATE // 50
        assert abs(before.stop - after.stop) <= RATE // 50


def test_another_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    file = tmp_path / WEIGHTS
    save_file({"weights": np.zeros(1, np.float32)}, file, {"voicemill": '{"format": 99}'})
    with pytest.raises(ModelMissing, match="train it anew"):
        TrainedAligner.load(file)
    file.write_bytes(b"no tensors")
    with pytest.raises(ModelMissing, match="train it anew"):
        TrainedAligner.load(file)


def test_too_little_speech_is_refused() -> None:
    clip = Spoken("a", np.zeros(RATE, np.float32), ("a",), [("a",)])
    with pytest.raises(NoData, match="60 s are needed"):
        recipe.make([clip] * 20, "de")


def test_speakers_are_parted_before_anything_is_trained() -> None:
    wave = np.zeros(RATE, np.float32)
    clips = [Spoken(name, wave, ("a",), [("a",)]) for name in "abcdefghij" for _ in range(30)]
    clips += [Spoken("big", wave, ("a",), [("a",)])] * 60
    parts = recipe.part(clips)
    groups = [{clip.speaker for clip in group} for group in (parts.train, parts.calibrate, parts.new_speakers)]
    assert set.union(*groups) == {*"abcdefghij", "big"}
    assert sum(map(len, groups)) == 11
    assert "big" in groups[0]
    assert [len(groups[1]), len(groups[2])] == [1, 1]
    assert parts.known_speakers == ()
    alone = recipe.part(clips[:30])
    assert alone.new_speakers == ()
    assert [len(alone.train), len(alone.calibrate), len(alone.known_speakers)] == [22, 4, 4]


def test_the_threshold_lies_between_right_and_wrong_texts() -> None:
    ratios = Ratios(np.array([-2.0, -3.0]), np.array([-7.0, -9.0, -np.inf]), np.array([]))
    assert measuring.threshold(ratios) == -5.0
    assert measuring.threshold(ratios, known=True) == (-2.5 - 8.0) / 2
    assert measuring.threshold(Ratios(ratios.right / 2, ratios.wrong, np.array([])), known=True) == -3.0
    odd = Ratios(np.array([-20.0, *[-3.0] * 19]), np.array([-7.0] * 5 + [-np.inf]), np.array([]))
    assert measuring.threshold(odd) == -5.0
    assert measuring.threshold(Ratios(ratios.right, np.array([-np.inf]), np.array([]))) == measuring.DEFAULT
    assert measuring.auc(ratios.right, ratios.wrong) == 1.0
    assert measuring.auc(np.array([0.0, -2.0]), np.array([-1.0, -np.inf])) == 0.75


@pytest.mark.slow
def test_the_default_threshold_of_the_stage_parts_right_from_wrong_texts(
    trained: tuple[TrainedAligner, recipe.Parts],
) -> None:
    from voicemill.tasks.stages.align import Settings

    aligner, parts = trained
    assert Settings().min_score_ctc == THRESHOLD
    assert aligner.score(np.log(THRESHOLD) * aligner.description.scale) == pytest.approx(THRESHOLD)
    figures = measuring.texts(aligner, measuring.ratios(aligner, parts.new_speakers[::3], parts.train))
    assert figures.right == 6
    assert figures.right_kept == 1
    assert figures.wrong_found is not None
    assert figures.wrong_found >= 0.9


def test_texts_of_numbers_alone_teach_nothing() -> None:
    random = np.random.default_rng(0)
    clips = [
        Spoken("a", random.normal(size=4 * RATE).astype(np.float32), ("15",), pronounce(["15"], "de"))
        for _ in range(30)
    ]
    with pytest.raises(NoData, match=r"0 of 22 utterances .* numbers written out"):
        recipe.make(clips, "de")
