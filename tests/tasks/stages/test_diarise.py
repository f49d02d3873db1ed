"""diarise: rows only for uploads with several people; turns of RTTM files; joined recordings of real speakers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.signals import speechlike

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.records import Batch, Decoded, Diarised, Turn, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import diarise
from voicemill.tasks.stages.diarise import STAGE, Settings, given_turns, run

SPEECH = Path(__file__).resolve().parents[3] / "../shared/speech/recordings"


def inputs_of(folder: Path, waves: Mapping[str, Wave], uploads: Mapping[str, Upload]) -> Inputs:
    rows = [
        Decoded(upload=name, samples=len(wave), pcm="", codec="wav", rate=RATE, channels=1)
        for name, wave in waves.items()
    ]
    with ArtifactWriter(folder / "decode.arrow") as writer:
        for name, wave in waves.items():
            writer.audio(name, -1, wave)
        decoded = writer.finish(rows, Decoded, ArtifactMeta("decode", "k"))
    return Inputs(Batch("b", 1, tuple(uploads.values())), {"decode": decoded})


def upload(name: str, *, mixed: bool = False, turns: tuple[Turn, ...] = ()) -> Upload:
    return Upload(name, "ann", f"ann/{name}.wav", 1, mixed=mixed, turns=turns)


def diarised(folder: Path, waves: Mapping[str, Wave], settings: Settings, *uploads: Upload) -> list[Diarised]:
    with inputs_of(folder, waves, {row.sha256: row for row in uploads}) as inputs:
        rows = list(run(inputs, settings))
    assert all(isinstance(row, Diarised) for row in rows)
    return rows  # type: ignore[return-value]


def test_turns_of_an_rttm_file_are_taken() -> None:
    turns = (Turn(0, 2 * RATE, "ann"), Turn(RATE, 3 * RATE, "bo"), Turn(5 * RATE, 6 * RATE, "cy"))
    own, least = upload("u", turns=turns), RATE // 4
    assert given_turns(own, 6 * RATE) == (
        Turn(0, RATE, "own"),
        Turn(RATE, 2 * RATE, ""),
        Turn(2 * RATE, 3 * RATE + least, "other"),
        Turn(5 * RATE - least, 6 * RATE, "other"),
    )
    renamed = upload("u", turns=tuple(Turn(t.start, t.stop, f"{t.voice}-lee") for t in turns))
    assert [turn.voice for turn in given_turns(renamed, 6 * RATE)] == ["1", "", "2", "3"]
    assert given_turns(own, RATE // 2) == (Turn(0, RATE // 2, "own"),)


def test_only_marked_and_long_uploads_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the encoder: a marked upload has voices, but none is known."""
    given = (Turn(0, RATE, "bo"),)
    waves = {name: speechlike(2.0, seed) for seed, name in enumerate(("plain", "mixed", "rttm"))}
    uploads = (upload("plain"), upload("mixed", mixed=True), upload("rttm", mixed=True, turns=given))
    monkeypatch.setattr(type(diarise.SPEAKER), "is_installed", False)
    expected = [
        Diarised("mixed", "clustered", ()),
        Diarised("rttm", "given", (Turn(0, RATE + RATE // 4, "1"),)),
    ]
    for name in ("found", "marked"):
        assert diarised(tmp_path, waves, Settings(uploads=name, least_s=1.0), *uploads) == expected
    assert diarised(tmp_path, waves, Settings(uploads="none"), *uploads) == []


def test_the_key_follows_marks_turns_and_the_model() -> None:
    assert STAGE.metadata is not None
    assert STAGE.models is not None
    plain, mixed = Batch("b", 1, (upload("u"),)), Batch("b", 1, (upload("u", mixed=True),))
    turns = Batch("b", 1, (upload("u", mixed=True, turns=(Turn(0, 9, "bo"),)),))
    keys = [STAGE.metadata(batch) for batch in (plain, mixed, turns)]
    assert keys == [[], [["u", "ann", []]], [["u", "ann", [[0, 9, "bo"]]]]]
    assert STAGE.models(Settings(uploads="none")) == {}
    assert set(STAGE.models(Settings())) in ({"diarise.voices", "diarise.speech"}, set())


def joined(*parts: tuple[str, str]) -> tuple[Wave, list[Turn]]:
    """Recordings of speakers one after the other, levelled, and the turns."""
    import soxr

    waves, turns, at = [], [], 0
    for speaker, file in parts:
        wave, rate = soundfile.read(SPEECH / speaker / file, dtype="float32")
        wave = np.asarray(soxr.resample(wave, rate, RATE), np.float32)
        waves.append(wave * (0.05 / np.sqrt(np.mean(wave**2))))
        turns.append(Turn(at, at + len(wave), speaker))
        at += len(wave)
    return np.concatenate(waves), turns


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech")
def test_two_people_in_turns_and_one_alone(tmp_path: Path) -> None:
    files = {
        name: sorted(path.name for path in (SPEECH / name).glob("*.flac")) for name in ("libri_1998", "libri_2414")
    }
    a, b = ([(name, file) for file in files[name][:2]] for name in files)
    mixed, truth = joined(*(part for pair in zip(a, b, strict=True) for part in pair))
    alone, _ = joined(*(("libri_1998", file) for file in files["libri_1998"][:4]))
    waves = {"mixed": mixed, "alone": alone}
    (row,) = diarised(tmp_path, waves, Settings(least_s=10.0), upload("mixed"), upload("alone"))
    assert (row.upload, row.source) == ("mixed", "clustered")
    assert {turn.voice for turn in row.turns} == {"1", "2"}
    assert (row.turns[0].start, row.turns[-1].stop) == (0, len(mixed))
    speaker = {"1": "libri_1998", "2": "libri_2414"}
    right = sum(
        max(min(turn.stop, own.stop) - max(turn.start, own.start), 0)
        for turn in row.turns
        for own in truth
        if speaker[turn.voice] == own.voice
    )
    assert right / len(mixed) > 0.97
