"""Recordings in which two people alternate, through `voicemill refresh`: only the folder's speaker is kept of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.configs import plain
from support.refreshed_store import check_ledger

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.inbox.transcripts.rttm import write_rttm
from voicemill.storage.records import Turn
from voicemill.storage.store import Store
from voicemill.storage.units import to_samples

SPEECH = Path(__file__).parents[2].parent / "shared" / "speech" / "recordings"
ANN, BOB = "libri_1998", "libri_2414"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech"),
]


def wave_of(file: Path) -> Any:
    wave, rate = soundfile.read(file, dtype="float32")
    assert rate == 16_000
    return wave * (0.05 / np.sqrt(np.mean(wave**2)))


def write_talk(path: Path, files: list[Path]) -> list[Turn]:
    """A recording of these files, one after the other, and its turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waves = [wave_of(file) for file in files]
    soundfile.write(path, np.concatenate(waves), 16_000)
    edges = [to_samples(edge / 16_000) for edge in np.cumsum([0, *map(len, waves)])]
    return [Turn(a, b, file.parent.name) for a, b, file in zip(edges, edges[1:], files, strict=False)]


# nightly: two refreshes. On a push tests/tasks/stages/test_diarise.py finds two people in a recording
@pytest.mark.nightly
def test_only_the_speaker_is_kept_of_a_mixed_recording(cli: Any, tmp_path: Path) -> None:
    ann, bob = (sorted((SPEECH / name).glob("*.flac")) for name in (ANN, BOB))
    inbox, store = tmp_path / "inbox", tmp_path / "store"
    for number, file in enumerate(ann[:6]):
        (inbox / ANN).mkdir(parents=True, exist_ok=True)
        soundfile.write(inbox / ANN / f"{number}.flac", wave_of(file), 16_000)
    pairs = [file for pair in zip(ann[6:9], bob[6:9], strict=True) for file in pair]
    turns = write_talk(inbox / ANN / "talk.flac", pairs)
    told = write_talk(inbox / BOB / "told.flac", [bob[0], ann[9], bob[1]])
    overlap = Turn(told[0].stop - 32_000, told[0].stop, ANN)
    (inbox / BOB / "told.rttm").write_text(write_rttm("told", [*told, overlap]))
    (inbox / "metadata.csv").write_text(f"file,language,mixed\n{ANN}/talk.flac,en,true\n{BOB}/told.flac,en,\n")
    off, on = tmp_path / "off.toml", tmp_path / "on.toml"
    off.write_text(plain('[speaker]\nengine = "ge2e"\n[diarise]\nuploads = "none"\n'))
    on.write_text(plain('[speaker]\nengine = "ge2e"\n[diarise]\nuploads = "found"\n'))
    rows: dict[str, Any] = {}
    for config in (off, on):
        cli.refresh(inbox, store, "--assume-consent", "test", "--config", config, "--force-publish")
        corpus = CorpusVersion.open(Store.open(store))
        check_ledger(corpus)
        columns = ["path", "start", "stop", "similarity", "voice_change"]
        rows[config.stem] = corpus.utterances(columns).to_pylist()
    single = {name: [row for row in rows[name] if row["path"].split("/")[1][0].isdigit()] for name in rows}
    assert len(single["on"]) >= 6
    assert single["on"] == [{**row, "similarity": own["similarity"]} for row, own in
                            zip(single["off"], single["on"], strict=True)]  # fmt: skip

    ledger = corpus.ledger().to_pylist()
    for path, truth, speaker in ((f"{ANN}/talk.flac", turns, ANN), (f"{BOB}/told.flac", told, BOB)):
        kept = [(row["start"], row["stop"]) for row in ledger if row["path"] == path and row["outcome"] == "kept"]
        own = [(turn.start, turn.stop) for turn in truth if turn.voice == speaker]
        inside = sum(max(min(b, stop) - max(a, start), 0) for a, b in kept for start, stop in own)
        assert inside > 0.97 * sum(b - a for a, b in kept)
        assert inside > 0.6 * sum(stop - start for start, stop in own)
        assert sum(row["stop"] - row["start"] for row in ledger
                   if row["path"] == path and row["reason"] == "other_speaker") > 32_000  # fmt: skip
    assert any(row["reason"] == "overlapped_speech" and row["path"] == f"{BOB}/told.flac" for row in ledger)
    undiarised = sum(row["stop"] - row["start"] for row in rows["off"] if row["path"] == f"{BOB}/told.flac")
    diarised = sum(row["stop"] - row["start"] for row in rows["on"] if row["path"] == f"{BOB}/told.flac")
    assert diarised < undiarised  # by the folder rule the other person is kept too
