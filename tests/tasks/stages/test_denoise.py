"""What denoise writes: same lengths, right profile, clean segments untouched, an error stays with its upload."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Denoised, Segment, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Audio, Inputs
from voicemill.tasks.stages.denoise import Settings, run, spans_of_noise


def write(folder: Path, stage: str, rows: list[object], record: type, waves: dict[tuple[str, int], Wave]) -> Artifact:
    with ArtifactWriter(folder / f"{stage}.arrow") as writer:
        for (upload, index), wave in waves.items():
            writer.audio(upload, index, wave)
        return writer.finish(rows, record, ArtifactMeta(stage, "k"))


def tiles(upload: str, *lengths: float) -> list[Segment]:
    """Silence and speech in turns, of these seconds."""
    rows, at, index = [], 0, 0
    for number, seconds in enumerate(lengths):
        stop = at + round(seconds * RATE)
        if number % 2 and stop > at:
            rows.append(Segment(upload=upload, index=index, start=at, stop=stop, outcome=Outcome.KEPT))
            index += 1
        elif stop > at:
            rows.append(
                Segment(upload=upload, index=-1, start=at, stop=stop, outcome=Outcome.SILENCE, reason="no_speech")
            )
        at = stop
    return rows


def voice(rows: list[Segment], level: float, hiss: float, seed: int = 0) -> Wave:
    """Bursts of harmonics in the kept segments, hiss all over."""
    rng = np.random.default_rng(seed)
    wave = np.zeros(rows[-1].stop)
    for row in rows:
        if row.outcome is Outcome.KEPT:
            t = np.arange(row.stop - row.start) / RATE
            on = np.sin(2 * np.pi * 3 * t) > -0.5
            wave[row.start : row.stop] = on * sum(np.sin(2 * np.pi * 140 * h * t) / h for h in range(1, 30))
    return (level * wave + hiss * rng.normal(size=len(wave))).astype(np.float32)


def go(folder: Path, uploads: dict[str, tuple[list[Segment], Wave]], settings: Settings) -> list[object]:
    batch = Batch("b", 1, tuple(Upload(name, "s", f"{name}.wav", 1) for name in uploads))
    decode = write(folder, "decode", [], Denoised, {(name, -1): wave for name, (_, wave) in uploads.items()})
    slices = write(folder, "slice", [row for rows, _ in uploads.values() for row in rows], Segment, {})
    inputs = Inputs(batch, {"decode": decode, "slice": slices})
    out = list(run(inputs, settings))
    inputs.close()
    return out


def waves(out: Iterable[object]) -> dict[tuple[str, int], Wave]:
    return {(item.upload, item.index): item.wave for item in out if isinstance(item, Audio)}


def rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))


@pytest.mark.parametrize("engine", ["gate", "noisereduce"])
def test_noisy_is_gated_clean_is_untouched_lengths_stay(tmp_path: Path, engine: str) -> None:
    rows = {name: tiles(name, 1.0, 2.0137, 0.5, 3.3, 1.0) for name in ("clean", "noisy")}
    uploads = {
        "clean": (rows["clean"], voice(rows["clean"], 0.2, 0.0005)),
        "noisy": (rows["noisy"], voice(rows["noisy"], 0.2, 0.08)),
    }
    out = go(tmp_path, uploads, Settings.model_validate({"engine": engine}))
    done = [item for item in out if isinstance(item, Denoised)]
    assert [(row.upload, row.index, row.denoised) for row in done] == [
        ("clean", 0, False), ("clean", 1, False), ("noisy", 0, True), ("noisy", 1, True),
    ]  # fmt: skip
    assert [type(item) for item in out] == [Denoised, Audio] * 4
    result = waves(out)
    for name, (segments, wave) in uploads.items():
        for row in segments:
            if row.outcome is Outcome.KEPT:
                original, cleaned = wave[row.start : row.stop], result[name, row.index]
                assert len(cleaned) == len(original)
                assert cleaned.dtype == np.float32
                if name == "clean":
                    np.testing.assert_array_equal(cleaned, original)
                else:
                    t = np.arange(len(original)) / RATE
                    quiet = np.sin(2 * np.pi * 3 * t) < -0.9
                    assert rms(cleaned[quiet]) < 0.3 * rms(original[quiet])
                    assert np.isfinite(cleaned).all()


def test_snr_is_that_of_the_mixture_with_and_without_pauses(tmp_path: Path) -> None:
    uploads = {}
    for name, lengths in {"pauses": (1.0, 3.0, 1.0), "none": (0.0, 3.0)}.items():
        rows = tiles(name, *lengths)
        uploads[name] = (rows, voice(rows, 0.2, 0.02))
    done = [item for item in go(tmp_path, uploads, Settings(engine="off")) if isinstance(item, Denoised)]
    rows = tiles("x", 0.0, 3.0)
    expected = 20 * np.log10(rms(voice(rows, 0.2, 0.0)) / 0.02)
    assert [row.snr_db for row in done] == pytest.approx([expected, expected], abs=1.0)
    assert not any(row.denoised for row in done)


def test_the_same_whatever_the_batch_around_it(tmp_path: Path) -> None:
    rows = {name: tiles(name, 1.0, 2.0, 1.0) for name in ("a", "b")}
    uploads = {name: (rows[name], voice(rows[name], 0.2, 0.05, seed)) for seed, name in enumerate(rows)}
    together = waves(go(tmp_path, uploads, Settings()))
    alone = waves(go(tmp_path / "alone", {"b": uploads["b"]}, Settings()))
    np.testing.assert_array_equal(together["b", 0], alone["b", 0])


def test_digital_silence_around_speech_is_no_profile(tmp_path: Path) -> None:
    rows = tiles("a", 2.0, 3.0, 2.0)
    wave = voice(rows, 0.2, 0.03)
    for row in rows:
        if row.outcome is Outcome.SILENCE:
            wave[row.start : row.stop] = 0.0
    (done,) = (item for item in go(tmp_path, {"a": (rows, wave)}, Settings()) if isinstance(item, Denoised))
    assert done.denoised
    assert done.snr_db == pytest.approx(20 * np.log10(rms(voice(tiles("x", 0.0, 3.0), 0.2, 0.0)) / 0.03), abs=1.0)
    (silent,) = (item for item in go(tmp_path, {"a": (rows, wave * 0)}, Settings()) if isinstance(item, Denoised))
    assert (silent.denoised, silent.snr_db) == (False, 100.0)


def test_one_bad_upload_is_a_failure_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = {name: tiles(name, 1.0, 2.0, 1.0) for name in ("bad", "good")}
    uploads = {name: (rows[name], voice(rows[name], 0.2, 0.05)) for name in rows}
    uploads["bad"][1][:] = np.nan
    out = go(tmp_path, uploads, Settings())
    failures = [item for item in out if isinstance(item, Failure)]
    assert [(item.upload, item.index) for item in failures] == [("bad", 0)]
    assert "not finite" in failures[0].error
    assert list(waves(out)) == [("good", 0)]


def test_noise_is_read_from_all_over_and_no_more_than_asked() -> None:
    hour = [
        row
        for start in range(0, 3600 * RATE, 2 * RATE)
        for row in [Segment(upload="u", index=-1, start=start, stop=start + RATE, outcome=Outcome.SILENCE)]
    ]
    spans = spans_of_noise(hour, 30 * RATE)
    assert 25 * RATE <= sum(stop - start for start, stop in spans) <= 30 * RATE
    assert spans[-1][1] > 3000 * RATE
    assert spans_of_noise([Segment(upload="u", index=-1, start=0, stop=100, outcome=Outcome.SILENCE)], RATE) == []


def test_contradictions_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"denoise\.max_noise_s"):
        Settings(min_noise_s=5.0, max_noise_s=1.0)
    with pytest.raises(ValidationError, match=r"denoise\.full_snr_db"):
        Settings(max_snr_db=5.0)
