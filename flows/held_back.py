"""What the trainings of some entries held back, and what any of them heard: told from the folders they left."""

from collections.abc import Sequence

from model.judging.testset import HeldBack
from model.judging.trained_on import trained_on
from model.training.run import RunSpec
from storage import voices
from storage.errors import StoreError
from storage.store import Store
from storage.voices import Entry

GONE = "the folder of its training is gone: held back is what the default settings hold back"


def held_back(store: Store, entries: Sequence[Entry]) -> tuple[HeldBack, tuple[str, ...]]:
    """The rule is that of the last training of the first entry, or of what it was made from; heard is what any training
    of any of the entries drew on. With notes for readers."""
    specs = [spec for entry in entries for spec in specs_of(store, entry)]
    if not specs:
        return HeldBack(), (GONE,)
    trained = [spec for spec in specs_of(store, entries[0]) if spec.network in ("s1", "s2")] or specs
    rule = trained[-1]
    by, data = rule.settings.phases[rule.phase].hold_back, rule.settings.data
    try:
        return HeldBack(data, by, trained_on(store, specs)), ()
    except StoreError as error:
        return HeldBack(data, by), (f"what the trainings heard cannot be told any more: {error}",)


def specs_of(store: Store, entry: Entry) -> list[RunSpec]:
    """What the trainings of an entry were asked for, those of the entries that it was made from first."""
    known = {found.name: found for found in voices.entries(store, entry.card.voice)}
    line = [entry]
    while (parent := known.get(line[0].card.parent)) is not None and parent not in line:
        line.insert(0, parent)
    folders = [store.training / training.folder for each in line for training in each.card.trainings]
    return [RunSpec.read(folder) for folder in dict.fromkeys(folders) if (folder / "run.json").is_file()]
