"""The utterances that a training read: computed anew from its spec, by the same split."""

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
    """Utterances that some trainings read."""

    utterances: frozenset[str] = field(repr=False)
    """Utterance ids."""
    untold: tuple[str, ...]
    """Reasons why those of some trainings are not known any more: a speaker of their corpus version was forgotten."""


def trained_on(store: Store, specs: Iterable[RunSpec]) -> Heard:
    """Return the utterances that at least one of these trainings on the store read, as far as known."""
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
    """Ids of the utterances that one training read. Raises as `voicemill.model.data.index.index` and
    `voicemill.model.data.sources.masks`."""
    phase, data = spec.settings.phases[spec.phase], spec.settings.data
    corpus = CorpusVersion.open(store, spec.version)
    known = index(corpus, data)
    sources = masks(corpus, known, shares, spec.speakers)
    divided = split(known, sources, shares, phase.hold_back, data.validation_share, data.validation_most)
    return frozenset(known.ids.item(row).decode() for rows in divided.training.values() for row in rows)
