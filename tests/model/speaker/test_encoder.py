"""The encoder: its spectrogram is librosa's, its vectors do not depend on neighbours, and voices are told apart."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from support.signals import speechlike

from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.encoder import BANDS, DIMS, HOP, N_FFT, RATE, STEP, WINDOW, Encoder, window_starts

SPEECH = Path(__file__).resolve().parents[3] / "../shared/speech/recordings"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(SPEAKER.path("pretrained.pt"))


def test_windows_hold_the_power_mel_spectrogram_of_librosa(encoder: Encoder) -> None:
    wave = speechlike(4.0, 1, RATE)
    wave *= 0.1 / np.sqrt(np.mean(wave**2))
    mels, starts = encoder.windows(wave)
    reference = librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS).T
    assert mels.shape == (len(starts), WINDOW, BANDS)
    for number, start in enumerate(starts[:-1]):
        np.testing.assert_allclose(mels[number], reference[start : start + WINDOW], rtol=1e-3, atol=1e-6)


def test_a_quiet_wave_is_raised_and_a_loud_one_is_not(encoder: Encoder) -> None:
    wave = speechlike(2.0, 1, RATE)
    quiet, quieter = wave * (0.01 / np.sqrt(np.mean(wave**2))), wave * (0.001 / np.sqrt(np.mean(wave**2)))
    np.testing.assert_allclose(encoder.windows(quiet)[0], encoder.windows(quieter)[0], rtol=1e-3, atol=1e-7)
    assert encoder.windows(wave)[0].max() > 1.5 * encoder.windows(quiet)[0].max()


def test_windows_cover_a_wave_and_leave_out_a_last_one_that_is_mostly_empty() -> None:
    assert window_starts(1000).tolist() == [0]
    assert window_starts(WINDOW * HOP).tolist() == [0]
    assert window_starts((WINDOW + STEP) * HOP).tolist() == [0, STEP]
    assert window_starts((WINDOW + STEP - 50) * HOP).tolist() == [0]
    assert window_starts((WINDOW + STEP - 30) * HOP).tolist() == [0, STEP]


def test_the_vectors_of_a_segment_do_not_depend_on_its_neighbours(encoder: Encoder) -> None:
    waves = [speechlike(1.0 + 0.7 * seed, seed, RATE) for seed in range(5)]
    together = encoder.embed_windows(waves)
    assert [len(part) for part in together] == [len(window_starts(len(wave))) for wave in waves]
    for wave, windows in zip(waves, together, strict=True):
        (alone,) = encoder.embed_windows([wave])
        assert windows.shape[1] == DIMS
        np.testing.assert_allclose(np.linalg.norm(windows, axis=1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(windows.astype(np.float16), alone.astype(np.float16))
    assert encoder.embed_windows([]) == []


def test_bfloat16_moves_no_voice(encoder: Encoder) -> None:
    waves = [speechlike(3.0, seed, RATE) for seed in range(4)]
    fast = Encoder.load(SPEAKER.path("pretrained.pt"), torch.bfloat16)
    for exact, rounded in zip(encoder.embed_windows(waves), fast.embed_windows(waves), strict=True):
        assert rounded.dtype == np.float32
        assert not np.array_equal(exact, rounded)
        assert float((exact * rounded).sum(1).min()) > 0.98
    (alone,) = fast.embed_windows(waves[:1])
    np.testing.assert_array_equal(alone, fast.embed_windows(waves)[0])


@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.exists(), reason="no recordings here")
def test_segments_of_one_voice_are_nearer_than_those_of_two(encoder: Encoder) -> None:
    paths = [sorted((SPEECH / name).glob("*.flac"))[:2] for name in ("libri_1688", "libri_1998", "vctk_p225")]
    waves = [soundfile.read(path, dtype="float32")[0][:160_000] for pair in paths for path in pair]
    vectors = np.stack([part.mean(0) / np.linalg.norm(part.mean(0)) for part in encoder.embed_windows(waves)])
    similar = vectors @ vectors.T
    same = [similar[0, 1], similar[2, 3], similar[4, 5]]
    assert min(same) > similar[np.triu_indices(6, 1)][similar[np.triu_indices(6, 1)] < min(same)].max() + 0.1
    assert np.sort(similar[np.triu_indices(6, 1)])[-3:].tolist() == sorted(same)
