"""What a training heard: worked out anew from what it was asked for, by the split that it made itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from voicemill.model.data.index import index
from voicemill.model.data.sources import masks
from voicemill.model.data.split import split
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, StoreError
from voicemill.storage.keys import digest
from voicemill.storage.store import Store


@dataclass(frozen=True)
class Heard:
    """What some trainings drew on."""

    utterances: frozenset[str] = field(repr=False)
    """Ids."""
    untold: tuple[str, ...]
    """Why of some it cannot be told any more: their corpus version held somebody who was forgotten."""


def trained_on(store: Store, specs: Iterable[RunSpec]) -> Heard:
    """The utterances that at least one of these trainings on the store drew on, as far as that can be told."""
    found: dict[str, frozenset[str]] = {}
    untold: dict[str, None] = {}
    for spec in specs:
        phase, data = spec.settings.phases[spec.phase], spec.settings.data
        shares: dict[str, float] = {name: share for name, share in phase.mix.items() if share}
        key = digest([spec.version, shares, phase.hold_back, sorted(spec.speakers), data.model_dump(mode="json")])
        if key in found:
            continue
        try:
            found[key] = _drawn_on(store, spec, shares)
        except (StoreError, ConfigError) as error:
            untold[str(error)] = None
    return Heard(frozenset[str]().union(*found.values()), tuple(untold))


def _drawn_on(store: Store, spec: RunSpec, shares: dict[str, float]) -> frozenset[str]:
    """Raises as `voicemill.model.data.index.index` and `voicemill.model.data.sources.masks`."""
    phase, data = spec.settings.phases[spec.phase], spec.settings.data
    corpus = CorpusVersion.open(store, spec.version)
    known = index(corpus, data)
    sources = masks(corpus, known, shares, spec.speakers)
    divided = split(known, sources, shares, phase.hold_back, data.validation_share, data.validation_most)
    return frozenset(known.ids.item(row).decode() for rows in divided.training.values() for row in rows)
