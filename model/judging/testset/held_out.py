"""The utterances that the trainings of some entries held out and trained on, found from the training folders."""

from collections.abc import Sequence
from dataclasses import dataclass

from voicemill.model.judging.testset.testset import HeldOut
from voicemill.model.judging.testset.trained_on import trained_on
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry
from voicemill.storage.voices.lineage import ancestors

GONE = "the folder of a training is gone, so its utterances are not known: the figures may flatter the voice"
NO_RULE = "no training of the voice is known any more: the default settings decide what is held out"
UNTOLD = "the utterances of a training are not known any more"


@dataclass(frozen=True)
class _Past:
    """Specs of the trainings that led to an entry."""

    own: tuple[RunSpec, ...]
    """Trainings of its voice, the last one last."""
    others: tuple[RunSpec, ...]
    """Trainings of the voices whose weights it started from."""
    gone: tuple[str, ...]
    """Entries of which a training is not known any more."""


def held_out(store: Store, entries: Sequence[Entry]) -> tuple[HeldOut, tuple[str, ...]]:
    """Return the held-out rule and the utterances trained on, with notes for readers.

    The rule is that of the last training of the first entry, or of its ancestors in the same voice. Trained on is what
    any training of any of the entries drew on, or of their ancestors, by the lineage that forgetting follows.
    """
    pasts = [_past(store, entry) for entry in entries]
    heard = trained_on(store, [spec for past in pasts for spec in (*past.own, *past.others)])
    gone = dict.fromkeys(name for past in pasts for name in past.gone)
    notes = [f"{GONE} ({', '.join(gone)})"] if gone else []
    notes += [f"{UNTOLD}: {why}" for why in heard.untold]
    first = pasts[0].own
    rules = [spec for spec in first if spec.network in ("s1", "s2")] or first or [s for past in pasts for s in past.own]
    if not rules:
        return HeldOut(heard=heard.utterances), (*notes, NO_RULE)
    rule = rules[-1]
    return HeldOut(rule.settings.data, rule.settings.phases[rule.phase].hold_back, heard.utterances), tuple(notes)


def _past(store: Store, entry: Entry) -> _Past:
    own: list[RunSpec] = []
    others: list[RunSpec] = []
    gone: dict[str, None] = {}
    for name in [*reversed(ancestors(store, entry.name, through="weights")), entry.name]:
        voice = name.rpartition("/")[0]
        found = next((each for each in registry.entries(store, voice) if each.name == name), None) if voice else None
        if found is None:
            gone[name] = None
            continue
        for training in found.card.trainings:
            folder = store.training / training.folder
            if (folder / "run.json").is_file():
                (own if voice == entry.card.voice else others).append(RunSpec.read(folder))
            else:
                gone[name] = None
    return _Past(tuple(own), tuple(others), tuple(gone))
