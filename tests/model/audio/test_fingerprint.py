"""The fingerprint and its index: the same bytes for any blocks, the same audio found again, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signals import Wave, resampled, speechlike, through_mp3

from voicemill.model.audio.fingerprint import STEP, VERSION, Fingerprinter, fingerprint, pack, peaks
from voicemill.model.audio.fingerprint_index import THRESHOLD, Index
from voicemill.storage.units import RATE

UPLOADS = 8
RECORDINGS = Path(__file__).parents[4] / "shared" / "speech" / "recordings"


@pytest.fixture(scope="module")
def speech() -> list[Wave]:
    return [speechlike(6, seed=seed) for seed in range(UPLOADS)]


@pytest.fixture(scope="module")
def index(speech: list[Wave]) -> Index[str]:
    return Index((f"upload {at}", fingerprint(wave)) for at, wave in enumerate(speech))


# -- fingerprint


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 200_000), st.lists(st.integers(0, 150_000), max_size=8), st.integers(0, 99))
def test_a_stream_in_blocks_has_the_fingerprint_of_the_whole(samples: int, sizes: list[int], seed: int) -> None:
    wave = np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
    printer, at = Fingerprinter(), 0
    for size in sizes:
        printer.add(wave[at : at + size])
        at += size
    printer.add(wave[at:])
    assert printer.finish() == fingerprint(wave)


@given(st.integers(0, 3000), st.lists(st.tuples(st.integers(0, 2999), st.integers(0, 199)), unique=True))
def test_peaks_survive_packing(more: int, cells: list[tuple[int, int]]) -> None:
    times, bins = np.array(sorted(cells), np.int64).reshape(-1, 2).T
    length, back_times, back_bins = peaks(pack(3000 + more, times, bins))
    assert length == 3000 + more
    np.testing.assert_array_equal(back_times, times)
    np.testing.assert_array_equal(back_bins, bins)


@pytest.mark.parametrize("data", [b"", bytes([VERSION]), bytes([VERSION + 1, 0, 0, 0, 0]), bytes([VERSION]) + bytes(5)])
def test_bytes_that_are_no_fingerprint_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"expected version {VERSION}"):
        peaks(data)


def test_a_second_of_speech_takes_few_bytes(speech: list[Wave]) -> None:
    assert 20 < np.mean([len(fingerprint(wave)) / 6 for wave in speech]) < 150


def test_noise_takes_few_bytes() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 10 * RATE).astype(np.float32)
    assert len(fingerprint(noise)) < 10 * 150


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.0, 30.0])
def test_silence_has_no_peaks(seconds: float) -> None:
    rng = np.random.default_rng(1)
    for wave in (np.zeros(round(seconds * RATE)), np.round(rng.triangular(-1, 0, 1, round(seconds * RATE))) / 32768):
        data = fingerprint(wave.astype(np.float32))
        assert peaks(data)[0] == -(-len(wave) // 256)
        assert peaks(data)[1].size == 0


def test_a_steady_tone_has_no_peaks_inside() -> None:
    """Two uploads with the same hum are not the same audio."""
    at = np.arange(8 * RATE) / RATE
    hum = np.sum([0.1 * np.sin(2 * np.pi * hertz * at) for hertz in (50, 300, 500, 1000, 2000)], axis=0)
    times = peaks(fingerprint(hum.astype(np.float32)))[1] * STEP
    assert np.sum((times > 0.2) & (times < 7.8)) == 0


def test_values_out_of_bounds_do_no_harm(speech: list[Wave], index: Index[str]) -> None:
    wave = speech[3].copy()
    wave[[1000, 5000, 9000, 9001]] = np.nan, np.inf, -np.inf, 1e30
    assert index.find(fingerprint(wave))[0].key == "upload 3"


def test_the_time_of_a_click_is_that_of_its_peaks() -> None:
    wave = np.zeros(12 * RATE, np.float32)
    for second in (0.5, 3.98, 4.02, 7.9, 11.5):
        wave[round(second * RATE) + np.arange(320)] = np.sin(2 * np.pi * 1000 * np.arange(320) / RATE)
    times = peaks(fingerprint(wave))[1] * STEP
    near = [np.min(np.abs(times - second - 0.005)) for second in (0.5, 4.0, 7.9, 11.5)]
    assert np.max(near) < 0.03


# -- index


def test_the_same_audio_is_found_and_nothing_else(speech: list[Wave], index: Index[str]) -> None:
    for at, wave in enumerate(speech):
        (match,) = index.find(fingerprint(wave))
        assert (match.key, match.start, match.other_start) == (f"upload {at}", 0, 0)
        assert match.stop == pytest.approx(6, abs=STEP)
        assert match.score > THRESHOLD


@pytest.mark.parametrize(
    "change",
    [
        lambda wave: through_mp3(wave, kbit=32),
        lambda wave: resampled(resampled(wave, RATE, 8000), 8000, RATE),
        lambda wave: resampled(resampled(wave, RATE, 11_025), 11_025, RATE),
        lambda wave: wave * np.float32(0.1),
        lambda wave: np.clip(wave * 4, -1, 1),
        lambda wave: wave + np.random.default_rng(5).normal(0, 0.1 * wave.std(), len(wave)).astype(np.float32),
    ],
    ids=["mp3 32 kbit/s", "8 kHz", "11.025 kHz", "-20 dB", "clipped", "noise at 20 dB"],
)
def test_a_changed_copy_is_found(change: object, speech: list[Wave], index: Index[str]) -> None:
    for at in range(3):
        (match,) = index.find(fingerprint(change(speech[at])))  # type: ignore[operator]
        assert match.key == f"upload {at}"
        assert match.other_start - match.start == pytest.approx(0, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(start=st.integers(0, 3 * RATE), at=st.integers(0, UPLOADS - 1))
def test_a_part_is_found_at_its_place(start: int, at: int, speech: list[Wave], index: Index[str]) -> None:
    (match,) = index.find(fingerprint(speech[at][start : start + 3 * RATE]))
    assert match.key == f"upload {at}"
    assert match.other_start - match.start == pytest.approx(start / RATE, abs=2 * STEP)
    assert match.start < 0.3
    assert match.stop > 2.7


def test_joined_recordings_are_both_found(speech: list[Wave], index: Index[str]) -> None:
    foreign = speechlike(4, seed=99)
    found = index.find(fingerprint(np.concatenate([speech[2], foreign, speech[7]])))
    stretches = {match.key: (match.start, match.stop, match.other_start) for match in found}
    assert stretches.keys() == {"upload 2", "upload 7"}
    assert stretches["upload 2"] == pytest.approx((0, 6, 0), abs=0.3)
    assert stretches["upload 7"] == pytest.approx((10, 16, 0), abs=0.3)


def test_every_part_of_a_long_upload_is_found(speech: list[Wave]) -> None:
    """Also beside a part that is much longer than the others."""
    parts = [*speech, *speech[::-1], np.concatenate([*speech, *speech[1:4]]), speechlike(4, seed=97)]
    index = Index([("long", fingerprint(parts[-2])), ("short", fingerprint(parts[-1]))])
    found = {match.key: match for match in reversed(index.find(fingerprint(np.concatenate(parts))))}
    assert (found["long"].start, found["long"].stop, found["long"].other_start) == pytest.approx((96, 162, 0), abs=0.3)
    assert (found["short"].start, found["short"].stop, found["short"].other_start) == pytest.approx(
        (162, 166, 0), abs=0.3
    )


def test_a_short_stretch_in_common_is_no_match(speech: list[Wave], index: Index[str]) -> None:
    """A word, a bell: uploads that share a second are two uploads; one that has little else is the same."""
    shared = speech[4][2 * RATE : 3 * RATE]
    foreign = speechlike(5, seed=98)
    assert index.find(fingerprint(np.concatenate([foreign, shared, foreign[::-1]]))) == []
    assert [match.key for match in index.find(fingerprint(shared))] == ["upload 4"]


def test_every_upload_with_the_stretch_is_named(speech: list[Wave]) -> None:
    copies = Index([(1, fingerprint(speech[0])), (2, fingerprint(speech[1])), (3, fingerprint(speech[0][RATE:]))])
    assert {match.key: round(match.other_start - match.start, 1) for match in copies.find(fingerprint(speech[0]))} == {
        1: 0.0,
        3: -1.0,
    }


def test_a_repeat_inside_an_upload_is_found_twice(speech: list[Wave]) -> None:
    twice = Index([("twice", fingerprint(np.concatenate([speech[0], speech[1], speech[0]])))])
    places = sorted(match.other_start for match in twice.find(fingerprint(speech[0])))
    assert places == pytest.approx([0, 12], abs=0.1)


def test_noises_are_not_the_same_noise() -> None:
    """Nor is a noise the same as itself at another time."""
    noise = [np.random.default_rng(seed).normal(0, 0.2, 10 * RATE).astype(np.float32) for seed in range(4)]
    index = Index(enumerate(map(fingerprint, noise)))
    for at, wave in enumerate(noise):
        assert [(match.key, match.other_start - match.start) for match in index.find(fingerprint(wave))] == [(at, 0)]


def test_an_empty_index_and_an_empty_query(index: Index[str]) -> None:
    assert Index[str]([]).find(fingerprint(speechlike(3))) == []
    assert Index([("silence", fingerprint(np.zeros(RATE, np.float32)))]).find(fingerprint(speechlike(3))) == []
    assert index.find(fingerprint(np.zeros(RATE, np.float32))) == []
    assert index.find(fingerprint(np.zeros(0, np.float32))) == []


# -- real speech


@pytest.mark.realdata
def test_real_recordings_are_told_apart_and_their_copies_found() -> None:
    """One speaker's utterances that begin with the same words, and sentences that several speakers read.

    One of those recordings is there twice, once with its pauses; tests/bench/near_duplicates.py measures all.
    """
    files = [*sorted(RECORDINGS.glob("aishell_S0150/*.flac"))[:40], *sorted(RECORDINGS.glob("vctk_p228*/*.flac"))]
    waves = {file.name: _load(file) for file in files}
    prints = {name: fingerprint(wave) for name, wave in waves.items()}
    index = Index(prints.items())
    twice = {"p228_023.flac", "p228_023_orig.flac"}
    for name, data in prints.items():
        keys = {match.key for match in index.find(data)}
        assert keys == (twice if name in twice else {name})
    for name in sorted(waves)[:40:5]:
        copy = through_mp3(waves[name][RATE // 3 :], kbit=32) * np.float32(0.2)
        best = index.find(fingerprint(copy))[0]
        assert best.key == name
        assert best.other_start - best.start == pytest.approx(1 / 3, abs=0.12)


def _load(file: Path) -> Wave:
    wave, rate = soundfile.read(file, dtype="float32")
    return resampled(wave, rate, RATE)
