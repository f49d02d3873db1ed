"""What a compression is asked for, and the entry it is of. No Prefect here."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from voicemill.model.export.draft import Precision
from voicemill.model.voices.versions import code_version
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, StoreError
from voicemill.storage.keys import digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices.registry import Card, Entry

MADE_OF = ("student", "trained", "light")
"""Kinds that can be compressed, the one that is taken first where none is named."""
STEM = "onnx"


class CompressOptions(BaseModel):
    """Parameters of a compression; the dashboard makes a form of them."""

    store: str = Field(description="Folder of the store")
    voice: str = Field("", description="Name of the voice. Empty: the only one of the store")
    kind: Literal["", "trained", "student", "light"] = Field(
        "", description="Which lane. Empty: the student, else the trained voice, else the light one"
    )
    number: int = Field(0, ge=0, description="The entry; 0 = the champion of the lane, else its newest")
    precision: Literal["int8", "float16", "float32"] = Field(
        "int8", description="Of the weights: int8 (linear, LSTM; the rest float16), float16, or float32: exported only"
    )
    sentences: int = Field(3, ge=1, le=100, description="Of the test set, that are said to compare")
    allow_retired: bool = Field(False, description="Compress a retired entry too")


@dataclass(frozen=True)
class CompressionPlan:
    """One compression."""

    options: CompressOptions
    store: Store
    corpus: CorpusVersion
    entry: Entry

    @property
    def voice(self) -> str:
        return self.entry.card.voice

    @property
    def precision(self) -> Precision:
        return self.options.precision

    def card(self, account: str) -> Card:
        """The card of the new entry, which is that of its parent but for what was made here."""
        return replace(
            self.entry.card,
            trainings=(),
            config=digest(self.options.model_dump(include={"precision"})),
            base={},
            code=code_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            reason=f"entry {self.entry.name} as ONNX graphs in {self.precision}",
            weights={STEM: STEM},
            kind="compressed",
            parent=self.entry.name,
            files={},
            account=account,
        )


def plan_compression(options: CompressOptions) -> CompressionPlan:
    """Check what can be checked before anything is started.

    Raises:
        StoreError: no store, voice, entry or version; a damaged or a retired entry.
        ConfigError: no voice is named where there are several, or the entry holds nothing that can be compressed.
    """
    store = Store.open(options.store)
    voice = options.voice or voices.only(store)
    entry = _entry(store, voice, options)
    if entry.card.kind not in MADE_OF:
        raise ConfigError(
            f"entry {entry.name} is {entry.card.kind}: give one that is {', '.join(MADE_OF)}, such as "
            f"{entry.card.parent or 'its parent'}"
        )
    return CompressionPlan(options, store, CorpusVersion.open(store, entry.card.corpus_version), entry)


def _entry(store: Store, voice: str, options: CompressOptions) -> Entry:
    if options.kind or options.number:
        return voices.find(store, voice, options.kind, options.number, options.allow_retired)
    there = {entry.card.kind for entry in voices.entries(store, voice)}
    for kind in MADE_OF:
        if kind in there:
            try:
                return voices.find(store, voice, kind, 0, options.allow_retired)
            except StoreError:  # all of that kind are retired
                continue
    return voices.find(store, voice, "", 0, options.allow_retired)
