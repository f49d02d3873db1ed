"""What a training heard: worked out anew from what it was asked for, by the split that it made itself."""

from collections.abc import Iterable

from model.data.index import index
from model.data.sources import masks
from model.data.split import split
from model.training.run import RunSpec
from storage.keys import digest
from storage.store import Store
from storage.versions import CorpusVersion


def trained_on(store: Store, specs: Iterable[RunSpec]) -> frozenset[str]:
    """Ids of the utterances that at least one of these trainings on the store drew on.

    Raises:
        StoreError, NoData: as `model.data.index.index`; a version that held somebody who was forgotten among them.
    """
    found: dict[str, frozenset[str]] = {}
    for spec in specs:
        phase, data = spec.settings.phases[spec.phase], spec.settings.data
        shares: dict[str, float] = {name: share for name, share in phase.mix.items() if share}
        key = digest([spec.version, shares, phase.hold_back, sorted(spec.speakers), data.model_dump(mode="json")])
        if key in found:
            continue
        corpus = CorpusVersion.open(store, spec.version)
        known = index(corpus, data)
        sources = masks(corpus, known, shares, spec.speakers)
        divided = split(known, sources, shares, phase.hold_back, data.validation_share, data.validation_most)
        found[key] = frozenset(known.ids.item(row).decode() for rows in divided.training.values() for row in rows)
    return frozenset[str]().union(*found.values())
