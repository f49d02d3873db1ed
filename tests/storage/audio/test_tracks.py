"""Speech counts: of several audio tracks the one that has it is read, and quiet speech is heard as speech."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voicemill.model.audio.vad import speech_probability
from voicemill.storage.audio.reading import open_audio, read_samples
from voicemill.storage.audio.signal.account import Account

pytest.importorskip("espeakng_loader")
Wave = NDArray[np.float32]
RATE = 22_050


@pytest.fixture(scope="module")
def voice() -> Wave:
    from voicemill.flows.demo.voice import Line, speak

    line = Line(
        text="The morning train was late again and nobody minded.", voice="en-us+f3", rate=160, pitch=50, range=50
    )
    (wave,) = speak([line])
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def music(samples: int) -> Wave:
    """Chords, one after the other without a pause."""
    time = np.arange(samples) / RATE
    root = 220 * 2 ** (np.floor(time * 2) % 5 / 12)
    return (0.1 * sum(np.sin(2 * np.pi * np.cumsum(root * k) / RATE) for k in (1, 1.26, 1.5))).astype(np.float32)


def mux(path: Path, waves: list[Wave], codec: str) -> Path:
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=RATE, layout="mono") for _ in waves]
        for stream, wave in zip(streams, waves, strict=True):
            for at in range(0, len(wave), 1024):
                data = np.pad(wave[at : at + 1024], (0, max(0, at + 1024 - len(wave))))
                frame = av.AudioFrame.from_ndarray((data * 32767).astype("<i2")[None], format="s16", layout="mono")
                frame.rate, frame.pts = RATE, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ending", ["mkv", "mov"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_track_with_the_voice_is_read(voice: Wave, ending: str, place: int, tmp_path: Path) -> None:
    tracks = [np.zeros_like(voice), music(len(voice))]
    tracks.insert(place, voice)
    path = mux(tmp_path / f"a.{ending}", tracks, "pcm_s16le")
    account = Account()
    with open_audio(path) as source:
        wave = np.concatenate(list(read_samples(source, account)))
        _, detail = account.describe(source.notes)
    heard = np.interp(np.arange(len(voice)) / RATE, np.arange(len(wave)) / 32_000, wave)
    assert np.corrcoef(heard, voice)[0, 1] > 0.95
    assert "of 3 audio tracks" in detail


def test_one_track_is_no_choice(voice: Wave, tmp_path: Path) -> None:
    with open_audio(mux(tmp_path / "a.mkv", [voice], "pcm_s16le")) as source:
        assert "audio tracks" not in str(source.notes)


@pytest.mark.parametrize(("subtype", "dbfs"), [("PCM_24", -60), ("FLOAT", -75), ("PCM_16", -50)])
def test_quiet_speech_is_heard_as_speech(voice: Wave, subtype: str, dbfs: float, tmp_path: Path) -> None:
    def heard(level: float) -> float:
        wave = voice * 10 ** (level / 20) / np.sqrt(np.mean(voice**2))
        soundfile.write(tmp_path / "a.wav", wave, RATE, subtype=subtype)
        with open_audio(tmp_path / "a.wav") as source:
            blocks = list(read_samples(source, Account()))
        return float(np.mean(speech_probability(blocks, "cascade", 1, 0.3, 0.08) > 0.5))

    assert heard(dbfs) == pytest.approx(heard(-20), abs=0.1)
    assert heard(dbfs) > 0.6
