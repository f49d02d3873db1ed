"""Consent by ear: whose voice an upload holds, what holds it, and what releases it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voicemill.model.speaker.comparison import Reference, enrol, unit
from voicemill.storage.forgetting import held_voices
from voicemill.storage.forgetting.held_voices import HeldVoice
from voicemill.storage.inbox import consent
from voicemill.storage.keys import file_digest
from voicemill.storage.outcomes import Reason, UploadState
from voicemill.storage.store import Store
from voicemill.tasks.intake.known_voices import SpokenSegment, match_voices
from voicemill.tasks.intake.scan import Settings, scan

WHEN = "2026-11-01T00:00:00+00:00"


def voice(seed: int, count: int, spread: float = 0.02) -> NDArray[np.float32]:
    """Vectors of one speaker, float32 [count, 256]."""
    rng = np.random.default_rng(seed)
    centre = unit(np.abs(rng.normal(size=256)).astype(np.float32))
    return unit(centre + spread * rng.normal(size=(count, 256)).astype(np.float32))


def known(*seeds: int) -> dict[str, Reference]:
    return {f"speaker {seed}": enrol(voice(seed, 8), [5.0] * 8)[0] for seed in seeds}


def spoken(upload: str, seed: int, seconds: float = 5.0, count: int = 2) -> list[SpokenSegment]:
    return [SpokenSegment(upload, seconds, vector) for vector in voice(seed, count)]


def test_the_nearest_known_voice_is_named_and_others_are_left_alone() -> None:
    uploads = [*spoken("a", 1), *spoken("b", 2), *spoken("c", 3), *spoken("short", 1, seconds=1.4)]
    assert [(row.upload, row.speaker) for row in match_voices(known(1, 2), uploads)] == [
        ("a", "speaker 1"),
        ("b", "speaker 2"),
    ]


def test_a_voice_that_is_only_alike_does_not_match() -> None:
    mixed = unit(0.75 * voice(1, 4) + 0.25 * voice(2, 4))
    reference = known(1)["speaker 1"]
    similarity = float(unit(mixed.mean(0)) @ reference.vector)
    assert similarity + 0.1 > 0.85
    strict = {"speaker 1": Reference(reference.vector, similarity + 0.05, 40.0, 8)}
    loose = {"speaker 1": Reference(reference.vector, similarity + 0.03, 40.0, 8)}
    uploads = [SpokenSegment("u", 5.0, vector) for vector in mixed]
    assert match_voices(strict, uploads) == []
    assert [row.speaker for row in match_voices(loose, uploads)] == ["speaker 1"]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox/bob").mkdir(parents=True)
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
    soundfile.write(tmp_path / "inbox/bob/0.wav", wave, 8000)
    return tmp_path / "inbox"


def test_a_grant_of_the_speaker_who_is_heard_releases_the_upload(inbox: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    sha256 = file_digest(inbox / "bob/0.wav")
    consent.append_record(store, "bob", "grant", time=WHEN)
    consent.append_record(store, "ann", "withdraw", time=WHEN)
    held_voices.add(store, [HeldVoice(sha256, "ann", 0.93)])
    result = scan(inbox, store, Settings())
    (row,) = result.others
    assert (result.uploads, row.path, row.state, row.reason) == (
        (),
        "bob/0.wav",
        UploadState.HELD,
        Reason.OTHER_SPEAKER,
    )
    assert "ann" not in row.detail
    assert [str(problem) for problem in result.problems] == [
        "bob/0.wav: held: its voice is that of ann (similarity 0.93), who has not granted consent"
    ]
    assert result.held == {}
    assert result.without_consent == {"ann"}
    assert [upload.path for upload in scan(inbox, store, Settings(hold_by_voice=False)).uploads] == ["bob/0.wav"]
    consent.append_record(store, "ann", "grant", time="2026-11-02T00:00:00+00:00")
    assert [upload.path for upload in scan(inbox, store, Settings()).uploads] == ["bob/0.wav"]


def test_forgetting_takes_the_name_out_of_the_record_and_the_upload_stays_held(inbox: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    sha256 = file_digest(inbox / "bob/0.wav")
    held_voices.add(store, [HeldVoice(sha256, "ann", 0.93), HeldVoice("f" * 64, "cem", 0.9)])
    held_voices.anonymise(store, "ann")
    assert b"ann" not in (store.root / held_voices.FILE).read_bytes()
    assert held_voices.read(store)["f" * 64].speaker == "cem"
    (row,) = scan(inbox, store, Settings(), assume_consent="test").others
    assert (row.path, row.state) == ("bob/0.wav", UploadState.HELD)
