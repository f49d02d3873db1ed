"""Names and digests on the disk: a store that an earlier version wrote stays readable, and nothing of it is made anew.

The literals were read from a store that an earlier version had made. Where one of these tests fails, old stores do not
open, or a training that is done runs again: change the code, not the literal.
"""

import dataclasses
import json
from pathlib import Path

import pytest
from deltalake import DeltaTable
from support import factories

from voicemill.flows.plans.retrain import digest_of
from voicemill.model.settings.training import load
from voicemill.model.training.engine.run import Progress, Result, RunSpec
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store
from voicemill.storage.voices import cards, status
from voicemill.storage.voices.cards import Card, Training
from voicemill.storage.voices.status import read_status

FEATURE = ["id", "frames", "dims", "data", "speaker"]
COLUMNS = {
    "uploads": [
        "sha256", "path", "size", "codec", "rate", "channels", "samples", "seconds", "language", "consent", "state",
        "reason", "detail", "batch", "batch_number", "pcm", "repeats", "speaker",
    ],
    "fingerprints": ["upload", "data", "speaker"],
    "utterances": [
        "id", "upload", "path", "index", "start", "stop", "seconds", "language", "text", "words", "alignment", "engine",
        "audio", "snr_db", "denoised", "loudness_before", "loudness_after", "gain_db", "peak_db", "bound", "entropy",
        "clipped", "bandwidth_hz", "f0_median", "voiced", "recipe", "sig", "bak",
        "ovrl", "p808", "snr_segment_db", "c50_db", "music", "speech", "tier", "text_score", "text_reason",
        "similarity", "voice_change", "text_fit", "text_missing", "text_worst_run", "phone_rate", "speaker",
    ],
    "ledger": [
        "upload", "path", "start", "stop", "outcome", "reason", "stage", "score", "threshold", "detail", "speaker",
    ],
    "versions": ["version", "created", "recipe", "config", "pins", "shards", "features", "counts", "parent"],
    **dict.fromkeys(factories.FEATURE_TABLES.values(), FEATURE),
}  # fmt: skip
"""Table -> columns, in the order of the Delta log."""
FIELDS = {
    RunSpec: ["store", "version", "network", "phase", "settings", "speakers", "start", "quantizer", "teachers"],
    Progress: ["step", "steps", "losses", "rate", "examples_per_s", "audio_per_s", "seconds"],
    Result: ["outcome", "detail", "step", "best_step", "best", "losses", "exports"],
    Card: [
        "voice", "corpus_version", "recipe", "speakers", "trainings", "config", "base", "content", "code", "created",
        "reason", "weights", "kind", "parent", "files", "heard", "account",
    ],
    Training: [
        "network", "phase", "adapt", "outcome", "detail", "steps", "best_step", "best", "losses", "seconds", "folder",
    ],
    status.StatusChange: ["number", "kind", "stage", "who", "when", "why", "instead_of", "forced", "sequence"],
}  # fmt: skip
"""Record -> fields of its JSON."""
CARD = """{"voice": "brian", "corpus_version": 4,
 "recipe": "7b0cb17f826536951f14b7a70e6fb711b045fbb63506849522fbcffc616c9d92", "speakers": ["brian"],
 "trainings": [{"network": "s1", "phase": "finetune", "adapt": "full", "outcome": "finished",
  "detail": "100 steps, best at 100", "steps": 100, "best_step": 100, "best": 2.2601588322566104,
  "losses": {"cross_entropy": 1.7704251050949096}, "seconds": 3.854, "folder": "brian-v4-s1-finetune-cc3c57e4b955"}],
 "config": "e5dc366dce919f1beb44c219ee32ad26663ff7f7d72c31d25a08a94b67101282", "base": {}, "content": "mfcc",
 "code": "0.1.0+4b78da14eab0", "created": "2026-11-29T19:06:11+00:00", "reason": "the first training of this voice",
 "weights": {"s1": "s1.safetensors"}, "kind": "trained", "parent": "",
 "files": {"s1.safetensors": "a253b8f9e9164c3146bcca0420ca5002e63ec45760619d7c9b90837fee1ec18b"},
 "heard": ["brian"], "account": ""}"""
CHANGE = """{"number": 1, "kind": "trained", "stage": "champion", "who": "root", "when": "2026-11-29T19:08:01+00:00",
 "why": "it keeps every bound", "instead_of": 0, "forced": false, "sequence": 1}"""


def test_tables_and_their_columns(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    assert factories.corpus(store, [factories.make_batch(1, factories.upload("ann"))]) is not None
    assert json.loads((store.root / "store.json").read_text()) == {"format": 1}
    tables = store.root / "tables"
    columns = {
        path.parent.relative_to(tables).as_posix(): [field.name for field in DeltaTable(path.parent).schema().fields]
        for path in tables.rglob("_delta_log")
    }
    assert columns == COLUMNS


@pytest.mark.parametrize("record", FIELDS, ids=lambda record: record.__name__)
def test_fields_of_what_is_written_as_json(record: type) -> None:
    assert [field.name for field in dataclasses.fields(record)] == FIELDS[record]


@pytest.mark.parametrize(
    ("network", "phase", "digest"),
    [
        ("s2", "finetune", "8da87933dbc74ee05718ee3ef583c88c64ab4458f796cf9f072ef1d99240999e"),
        ("light_speaker", "light", "0f9467797222fae4913e848652101a7ce788e8f02ce2f941c58467affd85dbd2"),
    ],
)
def test_a_training_is_found_again_by_its_digest(network: str, phase: str, digest: str) -> None:
    """Its folder is named after it."""
    spec = RunSpec(
        store="anywhere",
        version=4,
        network=network,  # type: ignore[arg-type]
        phase=phase,
        settings=load("tiny"),
        speakers=("brian",),
    )
    assert digest_of(spec) == digest


def test_an_entry_and_its_status_open(tmp_path: Path) -> None:
    voice = tmp_path / "brian"
    (voice / "0001").mkdir(parents=True)
    (voice / "stages").mkdir()
    (voice / "0001" / "card.json").write_text(CARD)
    (voice / "stages" / "00000001.json").write_text(CHANGE)
    card = cards.read_card(voice / "0001" / "card.json")
    assert (card.voice, card.trainings[0].folder) == ("brian", "brian-v4-s1-finetune-cc3c57e4b955")
    assert dict(read_status(voice).champions) == {"trained": 1}


def test_a_version_names_its_tables(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    factories.corpus(store, [factories.make_batch(1, factories.upload("ann"))])
    version = CorpusVersion.open(store).version
    assert set(version.pins) == set(COLUMNS) - {"versions"}
    assert dict(version.features) == factories.FEATURE_TABLES
