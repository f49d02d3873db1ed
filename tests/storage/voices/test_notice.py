"""The notice in sound files: written, read, carried through conversion, and never invented."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from support.signals import speechlike

from voicemill.storage.errors import ConfigError
from voicemill.storage.voices.notice import SOURCE_TYPE, Notice, read_notice, write_speech


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "WAV"])
def test_the_notice_and_the_sound_come_back(ending: str, tmp_path: Path) -> None:
    wave = speechlike(1.5)
    path = write_speech(tmp_path / f"a.{ending}", wave, 32_000)
    read_back = read_notice(path)
    assert read_back is not None
    assert read_back.synthetic
    assert read_back.comment == Notice().comment
    assert SOURCE_TYPE == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert SOURCE_TYPE in read_back.comment
    assert read_back.software.startswith("voicemill")
    back, rate = soundfile.read(path, dtype="float32")
    assert (rate, back.shape) == (32_000, wave.shape)
    if ending != "ogg":
        np.testing.assert_allclose(back, wave, atol=1 / 32767)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_riff_info_holds_the_chunks(tmp_path: Path) -> None:
    data = write_speech(tmp_path / "a.wav", np.zeros(100, np.float32), 32_000).read_bytes()
    info = data[data.index(b"LIST") :]
    assert info[8:12] == b"INFO"
    assert b"ICMT" in info
    assert b"ISFT" in info
    assert data.index(b"LIST") < data.index(b"data")  # who reads a stream sees the notice before the sound


def test_beyond_full_scale_is_clipped_and_not_wrapped(tmp_path: Path) -> None:
    path = write_speech(tmp_path / "a.wav", np.array([0.0, 1.5, -1.5, 0.5], np.float32), 32_000)
    assert soundfile.read(path)[0].tolist() == pytest.approx([0, 1, -1, 0.5], abs=1e-4)


def test_another_notice(tmp_path: Path) -> None:
    notice = Notice(comment="Synthetische Sprache von Zoë; trainedAlgorithmicMedia", software="voicemill 0.1")
    read_back = read_notice(write_speech(tmp_path / "a.flac", np.zeros(100, np.float32), 32_000, notice=notice))
    assert read_back is not None
    assert read_back.comment == notice.comment


def test_it_is_carried_into_mp3(tmp_path: Path) -> None:
    source = write_speech(tmp_path / "a.wav", speechlike(1), 32_000)
    with av.open(str(source)) as wav, av.open(str(tmp_path / "a.mp3"), "w") as mp3:
        mp3.metadata.update(wav.metadata)
        stream = mp3.add_stream("libmp3lame", rate=32_000)
        for frame in wav.decode(audio=0):
            mp3.mux(stream.encode(frame))
        mp3.mux(stream.encode(None))
    read_back = read_notice(tmp_path / "a.mp3")
    assert read_back is not None
    assert read_back.synthetic


def test_files_without_a_notice(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16_000)
    assert read_notice(tmp_path / "a.wav") is None
    (tmp_path / "b.wav").write_bytes(b"no sound at all")
    assert read_notice(tmp_path / "b.wav") is None
    (tmp_path / "c.wav").write_bytes(b"")
    assert read_notice(tmp_path / "c.wav") is None
    with pytest.raises(OSError, match="nowhere"):
        read_notice(tmp_path / "nowhere.wav")


def test_another_comment_is_no_notice(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16_000, 1) as file:
        file.comment = "recorded in the kitchen"
        file.write(np.zeros(100))
    read_back = read_notice(tmp_path / "a.flac")
    assert read_back is not None
    assert not read_back.synthetic


@pytest.mark.parametrize(
    ("name", "wave", "notice", "message"),
    [
        ("a.mp3", np.zeros(9, np.float32), None, ".wav, .flac, .ogg"),
        ("a", np.zeros(9, np.float32), None, ".wav, .flac, .ogg"),
        ("a.wav", np.zeros((9, 2), np.float32), None, "mono"),
        ("a.wav", np.full(9, np.nan, np.float32), None, "finite"),
        ("a.wav", np.zeros(9, np.float32), Notice(comment="by me"), "trainedAlgorithmicMedia"),
    ],
)
def test_bad_input_is_refused(name: str, wave: np.ndarray, notice: Notice | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        write_speech(tmp_path / name, wave, 32_000, notice=notice)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        write_speech(tmp_path / "nowhere" / "a.wav", np.zeros(9, np.float32), 32_000)
