"""Voices of recordings by the RTTM files beside them: their lengths, folders, and what is never replaced."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.signals import speechlike

from voicemill.flows.plans.diarise import diarise_recordings
from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.comparison import unit
from voicemill.model.speaker.encoder import Encoder
from voicemill.storage.errors import ConfigError
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.units import RATE
from voicemill.tasks.intake.known_voices import SpokenSegment, reference_of

SPEECH = Path(__file__).resolve().parents[3] / "../shared/speech/recordings"

RTTM = """SPEAKER talk 1 0.5 2.0 <NA> <NA> ann <NA> <NA>
SPEAKER talk 1 2.0 2.0 <NA> <NA> bo <NA> <NA>
SPEAKER talk 1 5.0 1.0 <NA> <NA> ann <NA> <NA>
"""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, speechlike(6.0, 1), RATE)
    path.with_suffix(".rttm").write_text(RTTM)
    return path


def test_each_voice_becomes_a_recording_in_a_folder_of_its_own(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    inbox = Inbox(tmp_path / "inbox")
    voices = list(diarise_recordings([talk], rttm=tmp_path / "turns", inbox=inbox))
    assert [(v.voice, v.turns, v.seconds, v.path, v.outcome) for v in voices] == [
        ("ann", 2, 2.5, "talk-ann/talk.flac", "new"),
        ("bo", 1, 1.5, "talk-bo/talk.flac", "new"),
    ]
    wave, _ = soundfile.read(talk, dtype="float32")
    ann, rate = soundfile.read(inbox.root / "talk-ann/talk.flac", dtype="float32")
    assert rate == RATE
    pause = np.zeros(RATE // 2, np.float32)
    expected = np.concatenate([wave[RATE // 2 : 2 * RATE], pause, wave[5 * RATE : 6 * RATE]])
    np.testing.assert_allclose(ann, expected, atol=1 / 32000)
    again = list(diarise_recordings([talk], rttm=tmp_path / "turns", inbox=inbox))
    assert [v.outcome for v in again] == ["there", "there"]
    assert len((tmp_path / "turns" / "talk.rttm").read_text().splitlines()) == 3


def test_turns_that_somebody_corrected_are_not_replaced(talk: Path, tmp_path: Path) -> None:
    turns = tmp_path / "turns"
    turns.mkdir()
    (turns / "talk.rttm").write_text("SPEAKER talk 1 0.5 2.0 <NA> <NA> cy <NA> <NA>\n")
    with pytest.raises(ConfigError, match=r"talk\.rttm exists with other turns: remove it"):
        list(diarise_recordings([talk], rttm=turns))
    assert "cy" in (turns / "talk.rttm").read_text()
    list(diarise_recordings([talk], rttm=talk.parent))  # its own file, in the words of whoever wrote it
    assert talk.with_suffix(".rttm").read_text() == RTTM


def test_what_cannot_be_read_is_named(talk: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.wav cannot be read"):
        list(diarise_recordings([tmp_path / "none.wav"]))
    talk.with_suffix(".rttm").write_text("SPEAKER talk\n")
    with pytest.raises(ConfigError, match=r"talk\.rttm:1: 2 fields instead of 10"):
        list(diarise_recordings([talk]))


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech")
def test_a_voice_goes_to_the_speaker_of_the_store_whose_it_is(tmp_path: Path) -> None:
    files = {name: sorted((SPEECH / name).glob("*.flac")) for name in ("libri_1998", "libri_2414")}
    waves = {name: [soundfile.read(file, dtype="float32")[0] for file in paths] for name, paths in files.items()}
    encoder = Encoder.load(SPEAKER.path("pretrained.pt"))
    own = [
        SpokenSegment(str(number), len(wave) / 16_000, unit(encoder.embed_windows([wave])[0].mean(0)))
        for number, wave in enumerate(waves["libri_1998"][2:])
    ]
    reference = reference_of(own)
    assert reference is not None
    talk = tmp_path / "talk.flac"
    soundfile.write(talk, np.concatenate([waves[n][k] for k in range(2) for n in files]), 16_000)
    (tmp_path / "inbox").mkdir()
    voices = list(diarise_recordings([talk], inbox=Inbox(tmp_path / "inbox"), known={"ann": reference}))
    assert [voice.outcome for voice in voices] == ["new", "new"]
    first = next(voice for voice in voices if voice.voice == "1")
    other = next(voice for voice in voices if voice.voice == "2")
    assert (first.speaker, first.path) == ("ann", "ann/talk-1.flac")
    assert (other.speaker, other.path) == ("", "talk-2/talk.flac")
