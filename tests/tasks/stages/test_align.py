"""align: each kept segment has one row, each word one place, and the text of other audio is refused."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.tiny_speech_models import tiny_ctc

from voicemill.flows.demo.voice import RATE as ESPEAK_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.embedded import WHISPER, EmbeddedModel
from voicemill.model.speech.pronunciation import VERSION as PRONUNCIATION
from voicemill.model.speech.text_fit import VERSION as FIT
from voicemill.model.speech.text_fit import FitLimits
from voicemill.model.speech.word_placement import Unit, distribute, failed_rows, pair_texts
from voicemill.model.speech.words import Alignment, Span, Unalignable, split
from voicemill.model.text.versions import VERSIONS as FRONT_END
from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Aligned, Batch, Decoded, Segment, Transcript, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.embedded_aligners import VERSION as EMBEDDED
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import transcribe
from voicemill.tasks.stages.align import STAGE, Settings, models, run

SPEECH = Path(__file__).parents[3] / "../shared/speech/recordings"
TEXTS = ("The old lighthouse stood above the harbour.", "Nobody had answered the letter for three weeks.")


def segments_of(upload: str, *bounds: tuple[int, int]) -> list[Segment]:
    return [Segment(upload=upload, index=i, start=a, stop=b, outcome=Outcome.KEPT) for i, (a, b) in enumerate(bounds)]


def made(folder: Path, waves: Mapping[str, Wave], uploads: list[Upload], segments: list[Segment]) -> Inputs:
    """Inputs of `align`: decoded audio, segments, and the output of the real `transcribe`."""
    artifacts = {}
    with ArtifactWriter(folder / "decode.arrow") as writer:
        for name, wave in waves.items():
            writer.audio(name, -1, wave)
        rows = [
            Decoded(upload=name, samples=len(wave), pcm="", codec="wav", rate=RATE, channels=1)
            for name, wave in waves.items()
        ]
        artifacts["decode"] = writer.finish(rows, Decoded, ArtifactMeta("decode", "k"))
    with ArtifactWriter(folder / "slice.arrow") as writer:
        artifacts["slice"] = writer.finish(segments, Segment, ArtifactMeta("slice", "k"))
    batch = Batch("b", 1, tuple(uploads))
    texts = list(transcribe.run(Inputs(batch, artifacts), transcribe.Settings()))
    return with_texts(Inputs(batch, artifacts), folder, [row for row in texts if isinstance(row, Transcript)])


def with_texts(inputs: Inputs, folder: Path, texts: list[Transcript]) -> Inputs:
    with ArtifactWriter(folder / "transcribe.arrow") as writer:
        file = writer.finish(texts, Transcript, ArtifactMeta("transcribe", "k"))
    return Inputs(inputs.batch, {**inputs.artifacts, "transcribe": file})


def upload(name: str, text: str, language: str = "en") -> Upload:
    return Upload(sha256=name, speaker="s", path=f"s/{name}.wav", size=1, language=language, text=text)


def rows_of(inputs: Inputs, settings: Settings) -> list[Aligned]:
    rows = list(run(inputs, settings))
    assert [row for row in rows if isinstance(row, Failure)] == []
    return [row for row in rows if isinstance(row, Aligned)]


# -- without audio


def test_what_each_segment_gets() -> None:
    segments = segments_of("u", (0, 100), (200, 300))
    texts = {"both": [("u", -1)], "own": [("u", 0), ("u", 1)], "one": [("u", 1)], "none": []}
    found = {}
    for name, where in texts.items():
        for aligner in (True, False):
            given_ = [Transcript(upload=u, index=i, text="a b", language="xx", engine="given") for u, i in where]
            rows, units = pair_texts(segments, given_, lambda _, aligner=aligner: aligner)  # type: ignore[misc]
            found[name, aligner] = ([(r.index, r.status, r.text) for r in rows], [len(u.segments) for u in units])
    assert found == {
        ("both", True): ([], [2]),
        ("both", False): ([(0, "unplaced", ""), (1, "unplaced", "")], []),
        ("own", True): ([], [1, 1]),
        ("own", False): ([(0, "no_aligner", "a b"), (1, "no_aligner", "a b")], []),
        ("one", True): ([(0, "no_text", "")], [1]),
        ("one", False): ([(0, "no_text", ""), (1, "no_aligner", "a b")], []),
        ("none", True): ([(0, "no_text", ""), (1, "no_text", "")], []),
        ("none", False): ([(0, "no_text", ""), (1, "no_text", "")], []),
    }


@st.composite
def alignments(draw: st.DrawFn) -> tuple[Unit, list[Span | None]]:
    """Segments with gaps between them, and ordered words over them end to end; some make no sound."""
    lengths = draw(st.lists(st.integers(10, 200), min_size=1, max_size=4))
    segments, at = [], 0
    for index, length in enumerate(lengths):
        at += draw(st.integers(0, 50))
        segments.append(Segment(upload="u", index=index, start=at, stop=at + length, outcome=Outcome.KEPT))
        at += length
    edges = sorted(draw(st.sets(st.integers(0, sum(lengths)), min_size=2, max_size=20)))
    spans: list[Span | None] = [Span(a, b, 0.9) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    for place in draw(st.lists(st.integers(0, len(spans)), max_size=3)):
        spans.insert(place, None)
    return Unit(tuple(segments), tuple(f"w{n}" for n in range(len(spans))), "en"), spans


@given(alignments())
def test_every_word_goes_to_one_segment_in_order(alignment: tuple[Unit, list[Span | None]]) -> None:
    unit, spans = alignment
    rows = distribute(unit, Alignment(tuple(spans)), FitLimits(0.0, 1.0))
    assert [row.index for row in rows] == [segment.index for segment in unit.segments]
    assert [word for row in rows for word in row.text.split()] == list(unit.words)
    timed = [(word.text, word.score) for row in rows for word in row.words]
    assert timed == [(text, span.score) for text, span in zip(unit.words, spans, strict=True) if span]
    for row, segment in zip(rows, unit.segments, strict=True):
        assert row.status == ("aligned" if row.words else "no_text")
        times = [edge for word in row.words for edge in (word.start, word.stop)]
        assert times == sorted(times)
        assert all(segment.start <= edge <= segment.stop for edge in times)
        assert all(word.start < word.stop for word in row.words)


def test_a_word_over_a_joint_goes_where_most_of_it_is() -> None:
    unit = Unit(tuple(segments_of("u", (1000, 2000), (5000, 6000))), ("a", "b"), "en")
    first, second = distribute(unit, Alignment((Span(0, 900, 0.9), Span(900, 1300, 0.9))), FitLimits(0.5, 1.0))
    assert [(w.text, w.start, w.stop) for w in first.words] == [("a", 1000, 1900)]
    assert [(w.text, w.start, w.stop) for w in second.words] == [("b", 5000, 5300)]


def test_a_quarter_of_bad_words_fails() -> None:
    unit = Unit(tuple(segments_of("u", (0, 1000))), tuple("abcdefgh"), "en")
    scores = [0.9] * 8
    for bad, status in ((0, "aligned"), (1, "aligned"), (3, "failed"), (8, "failed")):
        spans = [Span(n * 100, n * 100 + 90, 0.1 if n < bad else score) for n, score in enumerate(scores)]
        (row,) = distribute(unit, Alignment(tuple(spans)), FitLimits(0.5, 1.0))
        assert (row.status, bool(row.words), bool(row.detail)) == (status, status == "aligned", status == "failed")


def test_a_text_without_a_path_has_words_too_many_where_half_of_it_fits() -> None:
    unit = Unit(tuple(segments_of("u", (0, 1000))), ("a", "b", "c", "d"), "en")

    def aligned(right: tuple[str, ...]) -> list[tuple[str, str, str]]:
        def align(part: Unit) -> Alignment:
            if part.words != right:
                raise Unalignable("no path")
            return Alignment((Span(0, 400, 0.9, 4), Span(400, 900, 0.9, 4)))

        return [(row.status, row.reason, row.detail) for row in failed_rows(unit, "no path", align)]

    surplus = [("failed", "text_surplus", "no path; half of it fits the audio")]
    assert aligned(("a", "b")) == surplus
    assert aligned(("c", "d")) == surplus
    assert aligned(("b", "c")) == [("failed", "unaligned", "no path")]
    assert [row.reason for row in failed_rows(unit, "no path")] == ["unaligned"]


def test_phones_that_fall_short_count_in_the_segment_that_has_them() -> None:
    """Of a recognised text they count nowhere."""
    segments = tuple(segments_of("u", (0, 1000), (3000, 4000)))
    spans = (Span(0, 900, 0.9, 8), Span(1000, 1800, 0.9, 8))
    alignment = Alignment(spans, phones=(*range(0, 1000, 100), *range(1000, 2000, 50)), usual=1.0)
    given_ = distribute(Unit(segments, ("a", "b"), "en"), alignment, FitLimits(0.5, 0.17))
    assert [row.missing for row in given_] == [0.0, pytest.approx(0.7 * (1 - 10 / 20))]
    assert [row.reason for row in given_] == ["", "text_incomplete"]
    recognised = distribute(Unit(segments, ("a", "b"), "en", True), alignment, FitLimits(0.5, 0.17))
    assert [row.missing for row in recognised] == [0.0, 0.0]


def test_speech_without_a_word_fails_the_segment_that_holds_it() -> None:
    unit = Unit(tuple(segments_of("u", (0, 1000), (3000, 4000))), ("a", "b"), "en")
    spans = (Span(0, 700, 0.9), Span(1000, 1800, 0.9))
    rows = distribute(unit, Alignment(spans, ((700, 1000), (1800, 1900))), FitLimits(0.5, 0.17))
    assert [row.status for row in rows] == ["failed", "aligned"]
    why = "speech without a word of the text, and phones that it lacks, score 30% of the segment, more than 17%"
    assert rows[0].detail == why
    assert rows[0].text == "a"
    within = distribute(unit, Alignment(spans, ((900, 1070),)), FitLimits(0.5, 0.17))
    assert [row.status for row in within] == ["aligned", "aligned"]


def test_a_text_that_lacks_most_of_the_speech_is_incomplete_however_it_fits() -> None:
    (segment,) = segments_of("u", (0, 10 * RATE))
    unit, limits = Unit((segment,), ("ja", "nein"), "de"), FitLimits(score=0.3, missing=0.2, run=0.2)
    spans = (Span(0, RATE, 0.1, 2), Span(RATE, 2 * RATE, 0.1, 3))

    def reason(stop: int) -> str:
        (row,) = distribute(unit, Alignment(spans, uncovered=((2 * RATE, stop),)), limits)
        return row.reason

    assert reason(10 * RATE) == "text_incomplete"
    assert reason(6 * RATE) == "unaligned"


def test_settings_that_contradict() -> None:
    with pytest.raises(ValidationError, match=r"align\.engine.*align\.models"):
        Settings(engine="ctc")
    assert {language: Settings().engine_for(language) for language in ("en", "de", "zh", "fr")} == {
        "en": "pocketsphinx",
        "de": "pocketsphinx",
        "zh": "phones",
        "fr": None,
    }
    assert Settings(engine="pocketsphinx").engine_for("zh") == "pocketsphinx"
    assert Settings(models={"de": "x"}).engine_for("de") == "ctc"
    assert Settings(models={"en": "x"}).engine_for("en") == "ctc"
    assert Settings(engine="off").engine_for("en") is None
    assert Settings(engine="ctc", models={"de": "x"}).engine_for("en") is None
    assert STAGE.inputs_of(Settings()) == ("decode", "slice", "transcribe")
    assert STAGE.inputs_of(Settings(listen_to="prepared"))[2:4] == ("denoise", "loudness")


def test_a_model_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path))
    with pytest.raises(ModelMissing, match=r"align\.models\.de.*some/model.*voicemill models fetch"):
        models(Settings(models={"de": "some/model"}))
    assert models(Settings()) == {"phones": WHISPER.digest}
    assert models(Settings(engine="pocketsphinx")) == {}


def test_without_whisper_pocketsphinx_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedModel, "is_installed", False)
    assert [Settings().engine_for(language) for language in ("de", "zh")] == ["pocketsphinx"] * 2
    assert models(Settings()) == {}


# -- with audio


@pytest.fixture(scope="module")
def said() -> list[Wave]:
    lines = speak([Line(text, "en-us") for text in TEXTS])
    return [np.asarray(soxr.resample(wave, ESPEAK_RATE, RATE), np.float32) for wave in lines]


def test_the_text_of_an_upload_over_its_segments(tmp_path: Path, said: list[Wave]) -> None:
    gap = np.zeros(2 * RATE, np.float32)
    wave = np.concatenate([gap, said[0], gap, said[1], gap])
    bounds = [(len(gap), len(gap) + len(said[0])), (2 * len(gap) + len(said[0]), len(wave) - len(gap))]
    uploads = [upload("u", " ".join(TEXTS)), upload("empty", "")]
    segments = [*segments_of("u", *bounds), *segments_of("empty", (0, RATE))]
    inputs = made(tmp_path, {"u": wave, "empty": gap}, uploads, segments)
    rows = rows_of(inputs, Settings())
    assert [(row.upload, row.index, row.status, row.text) for row in rows] == [
        ("u", 0, "aligned", TEXTS[0]),
        ("u", 1, "aligned", TEXTS[1]),
        ("empty", 0, "no_text", ""),
    ]
    for row, (start, stop) in zip(rows, bounds, strict=False):
        assert [word.text for word in row.words] == row.text.split()
        assert row.words[0].start == pytest.approx(start, abs=RATE // 10)
        assert row.words[-1].stop == pytest.approx(stop, abs=RATE // 5)


def test_a_number_spans_the_words_that_it_is_read_as(tmp_path: Path) -> None:
    """The transcript keeps its written words; the stage runs again when the reading changes."""
    texts = [
        "The ticket cost $12.50 in 1999.",
        "The ticket cost twelve dollars and fifty cents in nineteen ninety nine.",
    ]
    (line,) = speak([Line(texts[1], "en-us")])
    wave = np.asarray(soxr.resample(line, ESPEAK_RATE, RATE), np.float32)
    uploads = [upload(name, text) for name, text in zip("ab", texts, strict=True)]
    segments = [segment for u in uploads for segment in segments_of(u.sha256, (0, len(wave)))]
    written, spelt = rows_of(made(tmp_path, {"a": wave, "b": wave}, uploads, segments), Settings())
    assert [word.text for word in written.words] == texts[0].split()
    edges = [(word.start, word.stop) for word in spelt.words]
    expected = [*edges[:3], (edges[3][0], edges[7][1]), edges[8], (edges[9][0], edges[11][1])]
    assert [(word.start, word.stop) for word in written.words] == expected
    assert STAGE.version == PRONUNCIATION + FRONT_END["en"] + FRONT_END["zh"] + FIT + EMBEDDED


def test_rows_do_not_depend_on_the_batch(tmp_path: Path, said: list[Wave]) -> None:
    uploads = [upload("a", TEXTS[0]), upload("b", TEXTS[1])]
    waves = {"a": said[0], "b": said[1]}
    segments = [*segments_of("a", (0, len(said[0]))), *segments_of("b", (0, len(said[1])))]
    together = rows_of(made(tmp_path / "ab", waves, uploads, segments), Settings())
    apart = [
        row
        for u in reversed(uploads)
        for row in rows_of(made(tmp_path / u.sha256, {u.sha256: waves[u.sha256]}, [u], segments), Settings())
    ]
    assert together == apart[::-1]
    assert [row.status for row in together] == ["aligned", "aligned"]


def test_another_text_and_another_language(tmp_path: Path, said: list[Wave]) -> None:
    uploads = [upload("wrong", TEXTS[1]), upload("french", TEXTS[0], "fr"), upload("signs", "... !")]
    waves = {u.sha256: said[0] for u in uploads}
    segments = [segment for u in uploads for segment in segments_of(u.sha256, (0, len(said[0])))]
    rows = rows_of(made(tmp_path, waves, uploads, segments), Settings())
    assert [(row.status, row.text) for row in rows] == [
        ("failed", TEXTS[1]),
        ("no_aligner", TEXTS[0]),
        ("failed", "... !"),
    ]
    assert all(not row.words and row.detail for row in rows)


def test_a_recogniser_may_leave_out_more_than_a_given_text(tmp_path: Path, said: list[Wave]) -> None:
    uploads, segments = [upload("u", "")], segments_of("u", (0, len(said[0])))
    inputs = made(tmp_path, {"u": said[0]}, uploads, segments)
    half = " ".join(TEXTS[0].split()[:4])
    settings = Settings(max_uncovered=0.1, max_uncovered_recognised=0.6)

    def status(engine: str, limits: Settings) -> str:
        row = Transcript(upload="u", index=0, text=half, language="en", engine=engine)
        return rows_of(with_texts(inputs, tmp_path, [row]), limits)[0].status

    assert status("given", settings) == "failed"
    assert status("faster-whisper", settings) == "aligned"
    assert status("faster-whisper", settings.model_copy(update={"max_uncovered_recognised": 0.1})) == "failed"


def test_one_upload_that_breaks_does_not_end_the_stage(tmp_path: Path, said: list[Wave]) -> None:
    uploads = [upload("gone", TEXTS[0]), upload("b", TEXTS[1])]
    segments = [*segments_of("gone", (0, len(said[0]))), *segments_of("b", (0, len(said[1])))]
    rows = list(run(made(tmp_path, {"b": said[1]}, uploads, segments), Settings()))
    assert isinstance(rows[0], Failure)
    assert rows[0].upload == "gone"
    assert isinstance(rows[1], Aligned)
    assert rows[1].status == "aligned"


def test_ctc_rows(tmp_path: Path, said: list[Wave]) -> None:
    folder = tiny_ctc(tmp_path / "model", "group")
    settings = Settings(models={"de": str(folder)}, min_score_ctc=0.0, precision="float32")
    uploads = [upload("a", TEXTS[0], "de"), upload("gone", TEXTS[0], "de"), upload("b", TEXTS[1], "de")]
    waves = {"a": said[0], "b": said[1]}
    half = len(said[1]) // 2
    segments = [
        *segments_of("a", (0, len(said[0]))),
        *segments_of("gone", (0, RATE)),
        *segments_of("b", (0, half), (half, len(said[1]))),
    ]
    rows = list(run(made(tmp_path, waves, uploads, segments), settings))
    assert [(row.upload, row.index) for row in rows] == [("a", 0), ("gone", -1), ("b", 0), ("b", 1)]
    assert isinstance(rows[1], Failure)
    kept = [row for row in rows if isinstance(row, Aligned)]
    assert [word.text for row in kept for word in row.words] == [*TEXTS[0].split(), *TEXTS[1].split()]
    # near-uniform random emissions are no alignment
    strict = list(
        run(made(tmp_path / "strict", waves, uploads[:1], segments[:1]), Settings(models={"de": str(folder)}))
    )
    assert [row.status for row in strict if isinstance(row, Aligned)] == ["failed"]
    assert set(models(settings)) == {"models.de", "phones"}


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.is_dir(), reason="../shared/speech is not here")
def test_real_speech(tmp_path: Path) -> None:
    with (SPEECH / "metadata.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["speaker"] in ("ljspeech", "libri_2033") and r["text"]][::3]
    waves, uploads, segments = {}, [], []
    for kind, texts in (("right", rows), ("wrong", [*rows[5:], *rows[:5]])):
        for number, (row, other) in enumerate(zip(rows, texts, strict=True)):
            wave, rate = soundfile.read(SPEECH / row["file"], dtype="float32")
            name = f"{kind}{number}"
            waves[name] = np.asarray(soxr.resample(wave, rate, RATE), np.float32)
            uploads.append(upload(name, other["text"]))
            segments += segments_of(name, (0, len(waves[name])))
    found = rows_of(made(tmp_path, waves, uploads, segments), Settings())
    status = {kind: [row.status for row in found if row.upload.startswith(kind)] for kind in ("right", "wrong")}
    assert status["right"].count("aligned") == len(rows)
    assert status["wrong"].count("failed") >= 0.9 * len(rows)
    for row in found:
        if row.status == "aligned":
            assert [word.text for word in row.words] == [w for w in split(row.text, "en") if w.strip(".,—-")]
