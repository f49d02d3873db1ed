"""Each rule, on a signal that breaks it alone; the scores of what passes; who is scored at all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from pydantic import ValidationError

from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import Batch, Decoded, Denoised, Levelled, Quality, Screened, Segment, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages.screen import Settings, best_snr, clipped_share, run, screen_segment

SPEECH = Path(__file__).resolve().parents[3] / "../shared/speech"


def voice(seconds: float = 2.0) -> Wave:
    """A buzz at 130 Hz that falls by 8 dB per octave, under a syllable envelope, with a breath up to 16 kHz."""
    t = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(0)
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k**1.3 for k in range(1, 40))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    return (0.3 * envelope * (buzz + 0.01 * rng.normal(size=len(t)))).astype(np.float32)


MEASURES = Quality(upload="u", index=0, engine="network", snr_db=35.0, c50_db=20.0, music=0.01, speech=0.99)


def score(
    wave: Wave,
    snr_db: float = 40.0,
    rate: int = 48_000,
    quality: Quality | None = None,
    clipped: float = 0.0,
    **settings: float,
) -> Screened:
    row = Denoised("u", 0, snr_db, False)
    return screen_segment(wave.astype(np.float32), row, rate, Settings(**settings), quality, clipped)


def measured(snr_db: float = 40.0, **changes: float) -> Screened:
    return score(voice(), snr_db=snr_db, quality=replace(MEASURES, **changes))


def test_a_clean_voice_passes_and_its_scores_are_kept() -> None:
    row = score(voice())
    assert (row.outcome, row.reason, row.score, row.threshold) == (Outcome.KEPT, "", None, None)
    assert 2.6 <= row.entropy <= 4.5
    assert row.snr_db == 40.0
    assert row.clipped == 0.0
    assert row.bandwidth_hz > 14_000


def broken() -> dict[Reason, Screened]:
    t = np.arange(2 * RATE) / RATE
    narrow = soxr.resample(soxr.resample(voice(), RATE, 8000), 8000, RATE)
    return {
        Reason.ENTROPY_LOW: score(0.2 * np.sin(2 * np.pi * 1000 * t)),
        Reason.ENTROPY_HIGH: score(0.1 * np.random.default_rng(0).normal(size=len(t))),
        Reason.CLIPPED: score(voice(), clipped=0.002),
        Reason.NOISY: score(voice(), snr_db=4.9),
        Reason.NOT_SPEECH: measured(speech=0.01),
        Reason.MUSIC: measured(music=0.91),
        Reason.REVERBERANT: measured(c50_db=-6.0),
        Reason.NARROWBAND: score(narrow),
    }


def test_each_reason_can_happen_and_says_its_score_and_threshold() -> None:
    settings = Settings()
    thresholds = {
        Reason.ENTROPY_LOW: settings.min_entropy, Reason.ENTROPY_HIGH: settings.max_entropy,
        Reason.CLIPPED: settings.max_clipped, Reason.NOISY: settings.min_snr_db,
        Reason.NOT_SPEECH: settings.min_speech, Reason.MUSIC: settings.max_music,
        Reason.REVERBERANT: settings.min_c50_db, Reason.NARROWBAND: settings.min_bandwidth_hz,
    }  # fmt: skip
    for reason, row in broken().items():
        assert (row.outcome, row.reason, row.threshold) == (Outcome.FILTERED, reason, thresholds[reason])
        below = reason not in (Reason.ENTROPY_HIGH, Reason.CLIPPED, Reason.MUSIC)
        assert row.score is not None
        assert (row.score < row.threshold) == below


@pytest.mark.parametrize(
    ("over_upload", "own", "speech", "snr_db"),
    [
        (12.0, 4.0, 0.99, 12.0),  # near: over the upload's noise it is the better one
        (-20.0, 35.0, 0.99, 35.0),  # a noise that is not in this segment
        (40.0, 3.0, 0.99, 3.0),  # a noise that is not in the pauses
        (40.0, -5.0, 0.2, 40.0),  # a whisper
        (40.0, None, None, 40.0),
    ],
)
def test_the_snr_is_that_of_the_segment_where_the_two_are_far_apart(
    over_upload: float, own: float | None, speech: float | None, snr_db: float
) -> None:
    measures = replace(MEASURES, snr_db=own, speech=speech)
    row = score(voice(), snr_db=over_upload, quality=measures)
    assert row.snr_db == best_snr(over_upload, measures) == snr_db
    assert row.reason == (Reason.NOISY if snr_db < 5.0 else "")


def test_a_file_has_no_more_band_than_half_its_rate() -> None:
    assert score(voice(), rate=8000).bandwidth_hz == 4000.0
    assert score(voice(), rate=8000).reason == Reason.NARROWBAND
    assert score(voice(), rate=8000, min_bandwidth_hz=0.0).outcome is Outcome.KEPT


def test_clipped_is_the_share_inside_the_segment() -> None:
    file = Decoded(
        upload="u",
        samples=2 * RATE,
        pcm="u",
        codec="wav/pcm_16",
        rate=16_000,
        channels=1,
        clipped_at=(4, 12),
        clipped_s=(0.01, 0.02),
    )
    assert clipped_share(file, 0, RATE) == pytest.approx(0.01)
    assert clipped_share(file, RATE, 2 * RATE) == pytest.approx(0.02)
    assert clipped_share(file, 45 * RATE // 100, RATE) == pytest.approx(0.005 / 0.55)
    assert clipped_share(file, 6 * RATE // 10, RATE) == 0.0


@pytest.mark.parametrize("frequency", [50, 60])
@pytest.mark.parametrize("harmonics", [{1: 1.0}, {1: 1.0, 2: 0.3, 3: 0.5, 5: 0.2}])
def test_a_voice_over_mains_hum_is_a_voice(frequency: int, harmonics: dict[int, float]) -> None:
    t = np.arange(2 * RATE) / RATE
    hum = sum(level * np.sin(2 * np.pi * frequency * n * t + n) for n, level in harmonics.items())
    for louder in (1.0, 3.0):
        row = score(voice() + louder * voice().std() / np.std(hum) * hum)
        assert row.outcome is Outcome.KEPT, row
    assert score(0.2 * hum).reason == Reason.ENTROPY_LOW or len(harmonics) > 1


def test_a_band_upside_down_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"screen\.min_entropy"):
        Settings(min_entropy=5.0)


def write(folder: Path, stage: str, rows: list[object], record: type, waves: dict[tuple[str, int], Wave]) -> Artifact:
    with ArtifactWriter(folder / f"{stage}.arrow") as writer:
        for (upload, index), wave in waves.items():
            writer.audio(upload, index, wave)
        return writer.finish(rows, record, ArtifactMeta(stage, "k"))


def test_run_scores_the_original_of_what_loudness_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = np.concatenate([np.zeros(RATE, np.float32), voice(), 0.1 * rng.normal(size=2 * RATE), np.zeros(2 * RATE)])
    bad = voice()
    bad[:] = np.nan
    spans = [
        ("u", 0, RATE, 3 * RATE),
        ("u", 1, 3 * RATE, 5 * RATE),
        ("u", 2, 5 * RATE, 7 * RATE),
        ("v", 0, 0, 2 * RATE),
    ]
    kept = [
        Segment(upload=upload, index=index, start=start, stop=stop, outcome=Outcome.KEPT)
        for upload, index, start, stop in spans
    ]
    quiet = {("u", 2)}
    levels = [
        Levelled(
            upload=u,
            index=i,
            before=-30.0,
            after=-23.0,
            gain_db=7.0,
            peak_db=-3.0,
            bound="",
            measured="upload",
            outcome=Outcome.FILTERED if (u, i) in quiet else Outcome.KEPT,
        )
        for u, i, _, _ in spans
    ]
    decoded = [
        Decoded(upload=name, samples=len(samples), pcm=name, codec="FLAC", rate=48_000, channels=1)
        for name, samples in (("u", wave), ("v", bad))
    ]
    silence = Segment(upload="u", index=-1, start=0, stop=RATE, outcome=Outcome.SILENCE)
    measures = [replace(MEASURES, upload=u, index=i) for u, i, _, _ in spans]
    artifacts = {
        "decode": write(
            tmp_path, "decode",
            decoded, Decoded, {("u", -1): wave.astype(np.float32), ("v", -1): bad},
        ),
        "slice": write(tmp_path, "slice", [silence, *kept], Segment, {}),
        "denoise": write(tmp_path, "denoise", [Denoised(u, i, 33.0, False) for u, i, _, _ in spans], Denoised, {}),
        "loudness": write(tmp_path, "loudness", levels, Levelled, {}),
        "quality": write(tmp_path, "quality", measures, Quality, {}),
    }  # fmt: skip
    inputs = Inputs(Batch("b", 1, (Upload("u", "s", "p", 1), Upload("v", "s", "q", 1))), artifacts)
    out = list(run(inputs, Settings()))
    inputs.close()
    rows = [row for row in out if isinstance(row, Screened)]
    assert [(row.upload, row.index, row.reason) for row in rows] == [("u", 0, ""), ("u", 1, Reason.ENTROPY_HIGH)]
    assert rows[0] == Screened(
        upload="u",
        index=0,
        entropy=score(voice()).entropy,
        snr_db=33.0,
        clipped=0.0,
        bandwidth_hz=score(voice()).bandwidth_hz,
        outcome=Outcome.KEPT,
    )
    assert [(row.upload, row.index) for row in out if isinstance(row, Failure)] == [("v", 0)]


@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.exists(), reason="../shared/speech is not there")
def test_clean_near_field_speech_passes_and_telephone_does_not() -> None:
    for name in ("vctk_p225", "libri_1688", "aishell_S0150", "kerstin", "ljspeech"):
        path = sorted((SPEECH / "recordings" / name).glob("*.flac"))[0]
        wave, rate = soundfile.read(path, dtype="float32")
        row = score(soxr.resample(wave, rate, RATE), rate=rate)
        assert row.outcome is Outcome.KEPT, (name, row)
    wave, rate = soundfile.read(SPEECH / "recordings/watson_zh-CN_1_8k/zh-CN_sample1_for_8k.flac", dtype="float32")
    assert score(soxr.resample(wave, rate, RATE), rate=0).reason == Reason.NARROWBAND
