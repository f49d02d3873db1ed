"""slice: every sample in one row, and the limits hold."""

import importlib.util
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter
from voicemill.storage.outcomes import Failure, LostStretch, Outcome, Reason, Repeat
from voicemill.storage.records import Batch, Decoded, Diarised, Segment, Turn, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages.slice import STAGE, Settings, run, tile_segments

STEP = 320
Wave = NDArray[np.float32]


def probability(*runs: tuple[float, float], seconds: float, inside: float = 1.0) -> Wave:
    """10 ms frames; speech in the runs given in seconds."""
    found = np.zeros(round(seconds * 100), np.float32)
    for start, stop in runs:
        found[round(start * 100) : round(stop * 100)] = inside
    return found


def spoken(found: Wave, seconds: float, transcribed: bool = False, **changes: float | bool) -> list[tuple[object, ...]]:
    rows = tile_segments("u", found, STEP, round(seconds * RATE), transcribed, Settings(**changes))
    return [(row.start / RATE, row.stop / RATE, row.reason or row.outcome.value) for row in rows]


# -- frames to rows


@st.composite
def detections(draw: st.DrawFn) -> tuple[Wave, int, int]:
    """Probabilities in runs of frames, the hop, and a length that ends inside the last frame."""
    step = draw(st.sampled_from([320, 1024]))
    level = st.sampled_from([0.0, 0.1, 0.44, 0.45, 0.6, 0.8, 0.9, 1.0])
    runs = draw(st.lists(st.tuples(st.integers(1, 40 * RATE // step), level), min_size=1, max_size=12))
    found = np.repeat(np.array([value for _, value in runs], np.float32), [count for count, _ in runs])
    return found, step, len(found) * step - draw(st.integers(0, step - 1))


settings = st.builds(
    Settings,
    min_speech_s=st.sampled_from([0.0, 0.1]),
    pad_s=st.sampled_from([0.0, 0.15, 1.0]),
    merge_gap_s=st.sampled_from([0.0, 0.3, 2.0]),
    min_segment_s=st.sampled_from([0.0, 0.4, 1.0]),
    max_segment_s=st.sampled_from([2.1, 5.0, 15.0]),
    whole_when_transcribed=st.booleans(),
)


@given(detections(), settings, st.booleans())
def test_rows_tile_the_upload_and_keep_the_limits(
    detection: tuple[Wave, int, int], chosen: Settings, transcribed: bool
) -> None:
    found, step, samples = detection
    rows = tile_segments("u", found, step, samples, transcribed, chosen)
    assert [rows[0].start, *(row.stop for row in rows)] == [*(row.start for row in rows), samples]
    assert all(row.start < row.stop for row in rows)
    kept = [row for row in rows if row.outcome is Outcome.KEPT]
    assert [row.index for row in kept] == list(range(len(kept)))
    for row in rows:
        length = (row.stop - row.start) / RATE
        if row.outcome is Outcome.KEPT:
            assert chosen.min_segment_s <= length <= chosen.max_segment_s
        elif row.outcome is Outcome.FILTERED:
            assert (row.index, row.reason) == (-1, Reason.TOO_SHORT)
            assert length < chosen.min_segment_s
        else:
            assert (row.index, row.outcome, row.reason) == (-1, Outcome.SILENCE, Reason.NO_SPEECH)
    silences = [row for row in rows if row.outcome is Outcome.SILENCE]
    for row in silences:
        assert row.start == 0 or row.stop == samples or row.stop - row.start >= round(chosen.merge_gap_s * RATE)
    if transcribed and chosen.whole_when_transcribed and len(kept) > 1:
        assert rows[-1].stop - rows[0].start > chosen.max_segment_s * RATE


def test_literal_rows() -> None:
    found = probability((1.0, 3.0), (5.0, 5.5), (7.0, 9.0), (9.55, 11.0), seconds=12)
    assert spoken(found, 12) == [
        (0.0, 0.85, "no_speech"),
        (0.85, 3.15, "kept"),
        (3.15, 4.85, "no_speech"),
        (4.85, 5.65, "too_short"),
        (5.65, 6.85, "no_speech"),
        (6.85, 11.15, "kept"),  # the gap of 0.55 s is 0.25 s between the paddings
        (11.15, 12.0, "no_speech"),
    ]


def test_limits_are_met_exactly() -> None:
    # gaps of 0.6 s are 0.3 s between the paddings: not shorter than merge_gap_s, so they stay; one frame less is joined
    assert len([r for r in spoken(probability((1, 3), (3.6, 5), seconds=6), 6) if r[2] == "kept"]) == 2
    assert len([r for r in spoken(probability((1, 3), (3.59, 5), seconds=6), 6) if r[2] == "kept"]) == 1
    # 0.7 s of speech and twice the padding are 1 s: kept; one frame less is too short
    assert spoken(probability((1, 1.7), seconds=3), 3)[1] == (0.85, 1.85, "kept")
    assert spoken(probability((1, 1.69), seconds=3), 3)[1] == (0.85, 1.84, "too_short")
    # 14.7 s and the padding are 15 s: one segment; one frame more is cut
    assert [r[2] for r in spoken(probability((1, 15.7), seconds=17), 17)] == ["no_speech", "kept", "no_speech"]
    assert [r[2] for r in spoken(probability((1, 15.71), seconds=17), 17)].count("kept") == 2
    # a run of 0.1 s is speech, a shorter one is not
    assert spoken(probability((1, 1.1), seconds=3), 3)[1][2] == "too_short"
    assert spoken(probability((1, 1.09), seconds=3), 3) == [(0.0, 3.0, "no_speech")]


def test_hysteresis() -> None:
    low = probability((1, 3), seconds=4, inside=0.6)
    assert spoken(low, 4) == [(0.0, 4.0, "no_speech")]
    low[150:152] = 0.8
    assert spoken(low, 4)[1] == (0.85, 3.15, "kept")


def test_padding_ends_at_the_edges() -> None:
    assert spoken(probability((0, 3), seconds=3), 3) == [(0.0, 3.0, "kept")]
    assert spoken(probability((0.1, 2.95), seconds=3), 3) == [(0.0, 3.0, "kept")]


def test_the_longest_pause_is_where_it_is_cut() -> None:
    found = probability((0, 4), (4.2, 9), (9.5, 16), (16.4, 20), seconds=20)
    assert spoken(found, 20) == [(0.0, 9.25, "kept"), (9.25, 20.0, "kept")]
    valley = probability((0, 20), seconds=20, inside=0.9)
    valley[1200:1210] = 0.7
    assert spoken(valley, 20) == [(0.0, 12.05, "kept"), (12.05, 20.0, "kept")]


def test_a_transcribed_clip_is_one_utterance() -> None:
    found = probability((1, 3), (5, 5.5), (7, 9), seconds=10)
    assert spoken(found, 10, transcribed=True) == [
        (0, 0.85, "no_speech"),
        (0.85, 9.15, "kept"),
        (9.15, 10, "no_speech"),
    ]
    assert spoken(found, 10, transcribed=True, whole_when_transcribed=False) == spoken(found, 10)
    assert spoken(found, 10, transcribed=True, max_segment_s=8) == spoken(found, 10, max_segment_s=8)
    assert spoken(probability((1, 1.3), seconds=3), 3, transcribed=True)[1][2] == "too_short"
    assert spoken(probability(seconds=3), 3, transcribed=True) == [(0.0, 3.0, "no_speech")]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"threshold_down": 0.9}, "threshold_down"),
        ({"min_segment_s": 8.0}, "max_segment_s"),
        ({"webrtc_mode": 4}, "webrtc_mode"),
    ],
)
def test_contradictions_are_refused_by_name(changes: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**changes)


# -- several people


@st.composite
def turns_within(draw: st.DrawFn, samples: int) -> list[Turn]:
    """Disjoint turns of the voices "1" and "2", of overlapped speech and of others, with gaps or without."""
    edges = sorted(draw(st.sets(st.integers(0, samples), min_size=2, max_size=10)))
    spans = list(pairwise(edges))
    chosen = draw(st.lists(st.sampled_from(["1", "2", "", "other", None]), min_size=len(spans), max_size=len(spans)))
    return [Turn(a, b, voice) for (a, b), voice in zip(spans, chosen, strict=True) if voice is not None]


@given(detections(), settings, st.booleans(), st.data())
def test_no_segment_crosses_a_change_of_voice(
    found: tuple[Wave, int, int], settings: Settings, transcribed: bool, data: st.DataObject
) -> None:
    wave, step, samples = found
    turns = data.draw(turns_within(samples))
    rows = tile_segments("u", wave, step, samples, transcribed, settings, turns)
    assert [row.start for row in rows] == [0, *(row.stop for row in rows[:-1])][: len(rows)]
    assert (rows[-1].stop if rows else 0) == samples
    own = {(at.voice, row) for row in rows for at in turns if at.start < row.stop and row.start < at.stop}
    for row in (row for row in rows if row.outcome is Outcome.KEPT):
        assert {voice for voice, other in own if other == row} == {row.voice}
        assert row.voice in ("1", "2")
        spoken = sum(max(min(t.stop, row.stop) - max(t.start, row.start), 0) for t in turns if t.voice == row.voice)
        assert spoken == row.stop - row.start
    undiarised = tile_segments("u", wave, step, samples, False, settings)
    silence = [(row.start, row.stop) for row in undiarised if row.outcome is Outcome.SILENCE]
    assert [(row.start, row.stop) for row in rows if row.outcome is Outcome.SILENCE] == silence


def test_turns_cut_a_stretch_of_speech() -> None:
    turns = [
        Turn(0, 4 * RATE, "1"), Turn(4 * RATE, 5 * RATE, ""), Turn(5 * RATE, 9 * RATE, "2"),
        Turn(10 * RATE, 14 * RATE, "other"), Turn(14 * RATE, 14 * RATE + 9600, "1"),
    ]  # fmt: skip
    rows = tile_segments("u", probability((1, 16), seconds=17), STEP, 17 * RATE, True, Settings(), turns)
    assert [(row.start / RATE, row.stop / RATE, row.reason or row.outcome.value, row.voice) for row in rows] == [
        (0.0, 0.85, "no_speech", ""),
        (0.85, 4.0, "kept", "1"),
        (4.0, 5.0, "overlapped_speech", ""),
        (5.0, 9.0, "kept", "2"),
        (9.0, 10.0, "unknown_voice", ""),
        (10.0, 14.0, "other_speaker", "other"),
        (14.0, 14.3, "too_short", "1"),
        (14.3, 16.15, "unknown_voice", ""),
        (16.15, 17.0, "no_speech", ""),
    ]


# -- what earlier uploads have


@given(detections(), settings, st.booleans(), st.data())
def test_no_segment_reaches_into_a_stretch_that_an_earlier_upload_has(
    found: tuple[Wave, int, int], settings: Settings, transcribed: bool, data: st.DataObject
) -> None:
    wave, step, samples = found
    edges = sorted(data.draw(st.sets(st.integers(0, samples), min_size=2, max_size=8)))
    spans = data.draw(st.lists(st.sampled_from(list(pairwise(edges))), unique=True).map(sorted))
    lost = data.draw(st.lists(st.sampled_from(list(pairwise(edges))), unique=True).map(sorted))
    repeats = [Repeat(start, stop, "e", 0) for start, stop in spans]
    holes = [LostStretch(start, stop, "") for start, stop in lost]
    rows = tile_segments("u", wave, step, samples, transcribed, settings, None, holes, repeats)
    assert [row.start for row in rows] == [0, *(row.stop for row in rows[:-1])][: len(rows)]
    assert (rows[-1].stop if rows else 0) == samples
    again = sum(row.stop - row.start for row in rows if row.reason == Reason.NEAR_DUPLICATE)
    gone = sum(row.stop - row.start for row in rows if row.reason == Reason.DAMAGED)
    assert gone == sum(stop - start for start, stop in lost)
    assert again == sum(stop - start for start, stop in set(spans) - set(lost))
    if not spans:
        assert rows == tile_segments("u", wave, step, samples, transcribed, settings, None, holes)


def test_a_repeated_half_is_filtered_and_the_rest_is_cut() -> None:
    repeats = [Repeat(0, 9 * RATE, "e", 4 * RATE)]
    rows = tile_segments("u", probability((1, 16), seconds=17), STEP, 17 * RATE, True, Settings(), repeats=repeats)
    assert [(row.start / RATE, row.stop / RATE, row.reason or row.outcome.value) for row in rows] == [
        (0.0, 9.0, "near_duplicate"),
        (9.0, 16.15, "kept"),
        (16.15, 17.0, "no_speech"),
    ]


# -- the stage


def inputs(folder: Path, uploads: Iterable[tuple[Upload, Wave, Outcome]], diarised: Iterable[Diarised] = ()) -> Inputs:
    uploads = list(uploads)
    rows = []
    with ArtifactWriter(folder / "decode.arrow") as writer:
        for upload, wave, outcome in uploads:
            reason = "" if outcome is Outcome.KEPT else Reason.TRUNCATED
            rows.append(
                Decoded(
                    upload=upload.sha256,
                    samples=len(wave),
                    pcm="",
                    codec="wav",
                    rate=RATE,
                    channels=1,
                    outcome=outcome,
                    reason=reason,
                )
            )
            if outcome is Outcome.KEPT:
                writer.audio(upload.sha256, -1, wave)
        artifact = writer.finish(rows, Decoded, ArtifactMeta("decode", "key"))
    with ArtifactWriter(folder / "diarise.arrow") as writer:
        turns = writer.finish(list(diarised), Diarised, ArtifactMeta("diarise", "key"))
    batch = Batch("b", 1, tuple(upload for upload, _, _ in uploads))
    return Inputs(batch, {"decode": artifact, "diarise": turns})


def upload(name: str, text: str = "") -> Upload:
    return Upload(name, "speaker", f"{name}.wav", 1, text=text)


def test_uploads_without_speech_and_those_not_decoded(tmp_path: Path) -> None:
    silence = np.zeros(70 * RATE + 5, np.float32)
    short = np.zeros(700, np.float32)
    read = inputs(
        tmp_path,
        [
            (upload("silence"), silence, Outcome.KEPT),
            (upload("corrupt"), silence[:99], Outcome.CORRUPT),
            (upload("nothing"), silence[:0], Outcome.CORRUPT),
            (upload("twin"), silence[:500], Outcome.KEPT),
            (upload("short", "hi"), short, Outcome.KEPT),
        ],
    )
    assert list(run(read, Settings(), frozenset({"twin"}))) == [
        Segment(
            upload="silence", index=-1, start=0, stop=len(silence), outcome=Outcome.SILENCE, reason=Reason.NO_SPEECH
        ),
        Segment(upload="corrupt", index=-1, start=0, stop=99, outcome=Outcome.CORRUPT, reason=Reason.TRUNCATED),
        Segment(upload="nothing", index=-1, start=0, stop=0, outcome=Outcome.CORRUPT, reason=Reason.TRUNCATED),
        Segment(upload="twin", index=-1, start=0, stop=500, outcome=Outcome.FILTERED, reason=Reason.DUPLICATE),
        Segment(upload="short", index=-1, start=0, stop=700, outcome=Outcome.SILENCE, reason=Reason.NO_SPEECH),
    ]


def test_nothing_was_decoded(tmp_path: Path) -> None:
    read = inputs(tmp_path, [(upload("a"), np.zeros(0, np.float32), Outcome.CORRUPT)])
    assert list(run(read, Settings())) == [
        Segment(upload="a", index=-1, start=0, stop=0, outcome=Outcome.CORRUPT, reason=Reason.TRUNCATED)
    ]


def test_an_upload_whose_audio_is_damaged_fails_alone(tmp_path: Path) -> None:
    wave = np.zeros(RATE, np.float32)
    read = inputs(tmp_path, [(upload(name), wave, Outcome.KEPT) for name in ("bad", "good")])
    with pa.OSFile(str(tmp_path / "decode.audio.arrow"), "wb") as sink:
        batches = [pa.record_batch({"wave": pa.array([raw], pa.large_binary())}) for raw in (b"odd", wave.tobytes())]
        with pa.ipc.new_file(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    failure, row = run(read, Settings())
    assert isinstance(failure, Failure)
    assert (failure.upload, failure.reason) == ("bad", Reason.STAGE_ERROR)
    assert row == Segment(upload="good", index=-1, start=0, stop=RATE, outcome=Outcome.SILENCE, reason=Reason.NO_SPEECH)


def test_the_key_follows_transcripts_and_the_model() -> None:
    assert STAGE.metadata is not None
    assert STAGE.models is not None
    assert STAGE.metadata(Batch("b", 1, (upload("a"), upload("b", "text")))) == [False, True]
    assert len(STAGE.models(Settings())["slice.engine"]) == 64
    assert STAGE.models(Settings(engine="webrtc")) == {}


# -- real speech in real noise

BENCH = Path(__file__).resolve().parents[2] / "bench" / "vad.py"
SPEECH = BENCH.parents[3] / "shared" / "speech"


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.is_dir(), reason="../shared/speech is not here")
@pytest.mark.parametrize(("snr_db", "most"), [(10, 0.04), (5, 0.05)])
def test_the_cascade_keeps_speech_and_leaves_pauses(snr_db: int, most: float) -> None:
    """Half of the benchmark that reports, without the other engines and 60 dB."""
    spec = importlib.util.spec_from_file_location("bench_vad", BENCH)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    total = bench.Score()
    for session in bench.sessions("report", snr_db, 30, 1):
        _, kept = bench.judged(session, Settings())
        total += kept
    assert total.speech > 100_000  # frames: 17 minutes
    assert total.hit >= 0.97
    assert total.false <= most
