"""Options and plan of a compression: the entry to compress and the precision of its weights. Imports no Prefect."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from voicemill.flows.plans import help_texts
from voicemill.flows.plans.options import VoiceOptions
from voicemill.model.export.draft import Precision
from voicemill.model.voices.versions import code_version
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, StoreError
from voicemill.storage.keys import digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Card, Entry

COMPRESSIBLE = ("student", "trained", "light")
"""Kinds of entries that can be compressed, in order of preference where the options name none."""
STEM = "onnx"


class CompressOptions(VoiceOptions):
    """Parameters of a compression."""

    kind: Literal["", "trained", "student", "light"] = Field("", description=help_texts.LANE_TO_COMPRESS)
    number: int = Field(0, ge=0, description=help_texts.ENTRY_TO_COMPRESS)
    precision: Literal["int8", "float16", "float32"] = Field("int8", description=help_texts.COMPRESSED_PRECISION)
    sentences: int = Field(3, ge=1, le=100, description=help_texts.COMPARED_SENTENCES)
    allow_retired: bool = Field(False, description=help_texts.ALLOW_RETIRED)


@dataclass(frozen=True)
class CompressionPlan:
    """One compression, checked."""

    options: CompressOptions
    store: Store
    corpus: CorpusVersion
    entry: Entry

    @property
    def voice(self) -> str:
        """Name of the voice."""
        return self.entry.card.voice

    @property
    def precision(self) -> Precision:
        """Precision of the weights."""
        return self.options.precision

    def card(self, account: str) -> Card:
        """Card of the new entry: its parent's, with what the compression changes. `account`: Markdown of the sizes and
        the comparison."""
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
    """Check everything that can be checked before work starts.

    Raises:
        StoreError: the store, voice, entry or corpus version does not exist; the entry is damaged or retired.
        ConfigError: no voice is named where there are several, or the entry cannot be compressed.
    """
    store, voice = options.open_store()
    entry = _entry(store, voice, options)
    if entry.card.kind not in COMPRESSIBLE:
        raise ConfigError(
            f"entry {entry.name} is {entry.card.kind}: expected one that is {', '.join(COMPRESSIBLE)}, such as "
            f"{entry.card.parent or 'its parent'}"
        )
    return CompressionPlan(options, store, CorpusVersion.open(store, entry.card.corpus_version), entry)


def _entry(store: Store, voice: str, options: CompressOptions) -> Entry:
    if options.kind or options.number:
        return registry.find(store, voice, options.kind, options.number, options.allow_retired)
    kinds = {entry.card.kind for entry in registry.entries(store, voice)}
    for kind in COMPRESSIBLE:
        if kind in kinds:
            try:
                return registry.find(store, voice, kind, 0, options.allow_retired)
            except StoreError:  # every entry of the kind is retired
                continue
    return registry.find(store, voice, "", 0, options.allow_retired)
