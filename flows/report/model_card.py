"""The model card of an entry, as markdown: what it was made from, what was found of it, and what it may be used for.

After Mitchell et al., "Model Cards for Model Reporting" (2019). It is written on demand: stages and figures change, and
the card in the entry does not.
"""

from collections.abc import Iterable, Iterator

from voicemill.model.judging.scores import shown
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting.forget import forgotten_versions
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Card, Entry
from voicemill.storage.voices.lineage import ancestors
from voicemill.storage.voices.status import VoiceStatus, read_status

SHOWN = 20
"""Speakers that are listed."""
USE = """Speech in the voices that it was trained on, of people who allowed that, for the use that they allowed. Not for
passing as somebody, nor for a voice whose owner has not agreed: what a reference recording holds is cloned, whoever it
is."""
MARK = """All speech is marked: `voicemill speak` writes into each file that it is synthesised, and a watermark into the
samples, which `voicemill watermark check` finds. Whoever has the weights can speak without."""


def model_card(store: Store, entry: Entry) -> str:
    """The card of one entry."""
    card, now = entry.card, read_status(entry.folder.parent)
    parts = [
        f"# {entry.name}",
        f"A {card.kind} voice, {now.of(entry.number)}, of {card.created}. {_sentence(card.reason)}".rstrip(),
        _section("Made from", _table(("", ""), _lineage(store, entry))),
        _section("Trainings", _trainings(card)),
        _section("Compression", card.account),
        _section("Figures", "\n\n".join(_figures(entry)) or "None yet: `voicemill evaluate` makes them."),
        _section("Intended use", USE),
        _section("Rights", "\n".join(_rights(store, card))),
        _section("Marks", MARK),
        _section("Files", _table(("file", "bytes", "sha256"), _files(entry))),
        _section(
            "History", _table(("when", "stage", "who", "why"), _history(entry, now)) or "A candidate, never changed."
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows]
    head = list(columns)
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]) if lines else ""


def _lineage(store: Store, entry: Entry) -> Iterator[tuple[str, str]]:
    card = entry.card
    yield "voice", card.voice
    yield "speakers", _listed(card.speakers) or "all of the corpus"
    yield "trained on the speech of", _listed(card.heard) or "all speakers of the corpus version"
    yield "corpus version", str(card.corpus_version)
    yield "recipe", f"`{card.recipe[:16]}`"
    for name in ancestors(store, entry.name, through="parents"):
        up = next((up for up in registry.entries(store, name.rpartition("/")[0]) if up.name == name), None)
        yield "made of", f"{name} ({up.card.kind})" if up else f"{name}, which is gone"
    for stem, file in card.base.items():
        yield f"base of {stem}", f"`{file.path}`, sha256 `{file.sha256[:16]}`"
    yield "content encoder", card.content
    yield "config", f"`{card.config[:16]}`"
    yield "code", card.code
    yield "files", f"`{entry.digest[:16]}`"


def _trainings(card: Card) -> str:
    columns = ("network", "phase", "adapted", "outcome", "steps", "best step", "validation loss")
    rows = [
        (t.network, t.phase, t.adapt, t.outcome, t.steps, t.best_step, "" if t.best is None else f"{t.best:.4g}")
        for t in card.trainings
    ]
    return _table(columns, rows)


def _figures(entry: Entry) -> Iterator[str]:
    """The newest evaluation on each test set."""
    newest = {found["testset"]: found for found in registry.scores(entry)}
    for testset, found in newest.items():
        rows = [
            (name, shown(found["totals"][name]), metric.unit, len(found["items"].get(name, ())) or "", metric.meaning)
            for name, metric in METRICS.items()
            if name in found["totals"]
        ]
        missing = "".join(f"\n- missing: {name}: {why}" for name, why in found.get("missing", {}).items())
        table = _table(("figure", "", "unit", "sentences", ""), rows)
        yield f"Test set `{testset[:12]}`\n\n{table}\n{missing}".rstrip()


def _rights(store: Store, card: Card) -> Iterator[str]:
    yield from _consents(store, card)
    for stem, file in card.base.items():
        yield f"- base of {stem}: the licence under which `{file.path}` was published holds for what was made of it"
    yield "- the weights are yours; voicemill is under Apache-2.0"


def _consents(store: Store, card: Card) -> Iterator[str]:
    try:
        rows = CorpusVersion.open(store, card.corpus_version).uploads(["speaker", "consent"]).to_pylist()
    except StoreError as error:
        yield f"- consents: not known: {error}"
        return
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["consent"] and (not card.heard or row["speaker"] in card.heard):
            found.setdefault(row["speaker"], set()).add(row["consent"])
    for speaker in sorted(found)[:SHOWN]:
        yield f"- consent of {speaker}: {'; '.join(sorted(found[speaker]))}"
    if len(found) > SHOWN:
        yield f"- and of {len(found) - SHOWN} more speakers: table `uploads` of the corpus version"
    if card.corpus_version in forgotten_versions(store):
        yield "- **somebody of this corpus version was forgotten since**"


def _files(entry: Entry) -> Iterator[tuple[str, object, str]]:
    for name, sha256 in entry.card.files.items():
        path = entry.folder / name
        yield f"`{name}`", f"{path.stat().st_size:,}" if path.exists() else "gone", f"`{sha256}`"
    for stem, path in entry.weights.items():
        if not path.is_relative_to(entry.folder):
            yield f"`{path}` ({stem})", f"{path.stat().st_size:,}" if path.exists() else "gone", "outside of the entry"


def _history(entry: Entry, now: VoiceStatus) -> Iterator[tuple[str, str, str, str]]:
    for change in now.history:
        if entry.number in (change.number, change.instead_of if change.stage == "champion" else 0):
            mine = change.number == entry.number
            what = f"{change.stage}{' (forced)' if change.forced else ''}" if mine else f"followed by {change.number}"
            yield change.when, what, change.who, change.why


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
