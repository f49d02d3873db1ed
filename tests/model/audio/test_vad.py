"""The detectors do not depend on blocks, and agree with the published model."""

import numpy as np
import soxr
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.audio.vad import _FRESH, ENGINES, _listen, hop, silero_path, speech_probability
from voicemill.storage.units import RATE


def test_blocks_change_no_bit() -> None:
    rng = np.random.default_rng(3)
    wave = (rng.standard_normal(35 * RATE + 77) * np.repeat(rng.uniform(0, 0.2, 36), RATE)[: 35 * RATE + 77]).astype(
        "f4"
    )
    for engine in ENGINES:
        whole = speech_probability([wave], engine, 1, 0.3, 0)
        assert len(whole) == -(-len(wave) // hop(engine))
        parts = speech_probability(np.split(wave, [1, 5000, 5001, 9 * RATE, 30 * RATE]), engine, 1, 0.3, 0)
        assert whole.tobytes() == parts.tobytes()


@given(st.integers(0, 4 * 2560 + 3))
def test_one_frame_for_every_started_hop(samples: int) -> None:
    for engine in ENGINES:
        found = speech_probability([np.zeros(samples, np.float32)], engine, 1, 0.3, 0)
        assert len(found) == -(-samples // hop(engine))


def test_the_cascade_hears_what_silero_hears_near_a_proposal() -> None:
    rng = np.random.default_rng(5)
    wave = (rng.standard_normal(40 * RATE) * 0.1).astype(np.float32)  # WebRTC lets white noise through as it starts
    proposed = speech_probability([wave], "webrtc", 0, 0, 1)
    cascade = speech_probability([wave], "cascade", 0, 10.0, 1)
    assert proposed.any()
    silero = speech_probability([wave], "silero", 0, 0, 1)
    first = int(np.flatnonzero(proposed)[0]) * hop("webrtc") // hop("cascade")
    reached = slice(0, first + 10 * RATE // hop("cascade"))
    assert first < 10 * RATE // hop("cascade")
    assert cascade[reached].tobytes() == silero[reached].tobytes()


def test_silero_is_the_published_model_frame_by_frame() -> None:
    import onnxruntime

    rng = np.random.default_rng(7)
    low = soxr.resample(rng.standard_normal(6 * 1600), 1600, RATE)[: 6 * RATE]
    wave = (low * np.sin(np.arange(6 * RATE) / RATE * 20) * 0.2).astype(np.float32)
    session = onnxruntime.InferenceSession(
        str(silero_path().with_name("silero_vad.onnx")), providers=["CPUExecutionProvider"]
    )
    heard = soxr.resample(wave, RATE, 16000)
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
    expected = []
    for start in range(0, len(heard) // 512 * 512, 512):
        frame = np.concatenate([context, heard[start : start + 512]])
        value, state = session.run(None, {"input": frame[None], "state": state, "sr": np.array(16000)})
        expected.append(value[0, 0])
        context = frame[-64:]
    found = speech_probability([wave], "silero", 1, 0, 1)
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-6)


def test_a_run_of_frames_in_parts_is_the_same_run() -> None:
    """Also of one frame, of samples that may not be written to: torch warns of those."""
    stretch = np.random.default_rng(13).standard_normal(64 + 9 * 512).astype(np.float32) * np.float32(0.1)
    stretch.flags.writeable = False
    whole, _ = _listen(stretch, _FRESH)
    state, parts = _FRESH, []
    for start, stop in ((0, 1), (1, 4), (4, 9)):
        probability, state = _listen(stretch[start * 512 : stop * 512 + 64], state)
        parts.append(probability)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_where_in_doubt_both_directions_count_alike() -> None:
    rng = np.random.default_rng(11)
    wave = np.zeros(12 * RATE, np.float32)
    wave[2 * RATE : 10 * RATE] = soxr.resample(rng.standard_normal(8 * 3200), 3200, RATE)[: 8 * RATE] * 0.1
    wave *= np.abs(np.sin(np.arange(len(wave)) * 9 / RATE)).astype(np.float32)
    wave = wave[: len(wave) // 1024 * 1024]
    there = speech_probability([wave], "silero", 1, 0, 0)
    back = speech_probability([wave[::-1].copy()], "silero", 1, 0, 0)
    once = speech_probability([wave], "silero", 1, 0, 1)
    once_back = speech_probability([wave[::-1].copy()], "silero", 1, 0, 1)
    assert np.abs(once - once_back[::-1]).max() > 0.1  # one direction alone hears another thing
    np.testing.assert_allclose(there, back[::-1], atol=0.05)
    np.testing.assert_allclose(there, (once + once_back[::-1]) / 2, atol=0.05)
