"""The model card of an entry, as Markdown: its origin, its figures, its intended use.

After Mitchell et al., "Model Cards for Model Reporting" (2019). It is written on demand: status and figures
change, the card stored with the entry does not.
"""

from collections.abc import Iterable, Iterator

from voicemill.flows.report import markdown
from voicemill.flows.report.markdown import Markup
from voicemill.model.judging.scores import shown
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Card, Entry
from voicemill.storage.voices.lineage import ancestors
from voicemill.storage.voices.status import VoiceStatus, read_status

SHOWN = 20
"""Listed speakers, at most."""
USE = """Speech in the voices that the model was trained on, with their owners' consent and for the use that they
consented to. Not for impersonation, nor for the voice of anyone who has not agreed: the model clones the voice of any
reference recording, whoever it belongs to."""
MARK = """All speech is marked: `voicemill speak` states in the metadata of each file that it is synthetic, and puts a
watermark into the samples, which `voicemill watermark check` detects. Other software can run the weights without
marking."""


def model_card(store: Store, entry: Entry) -> str:
    """Return the card of one entry."""
    card, now, text = entry.card, read_status(entry.folder.parent), markdown.text
    parts = [
        f"# {markdown.text(entry.name)}",
        f"A {card.kind} voice, {now.of(entry.number)}, of {card.created}. {text(_sentence(card.reason))}".rstrip(),
        _section("Origin", markdown.table(("", ""), _lineage(store, entry))),
        _section("Trainings", _trainings(card)),
        _section("Compression", card.account),
        _section("Figures", "\n\n".join(_figures(entry)) or "None yet: `voicemill evaluate` measures them."),
        _section("Intended use", USE),
        _section("Rights", "\n".join(_rights(store, card))),
        _section("Marking", MARK),
        _section("Files", markdown.table(("file", "bytes", "sha256"), _files(entry), "lr")),
        _section("History", _history_table(entry, now) or "A candidate since it was added."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _lineage(store: Store, entry: Entry) -> Iterator[tuple[str, str]]:
    card = entry.card
    yield "voice", card.voice
    yield "speakers", _listed(card.speakers) or "all of the corpus"
    yield "trained on the speech of", _listed(card.heard) or "all speakers of the corpus version"
    yield "corpus version", str(card.corpus_version)
    yield "recipe", markdown.code(card.recipe[:16])
    for name in ancestors(store, entry.name, through="parents"):
        ancestor = next(
            (other for other in registry.entries(store, name.rpartition("/")[0]) if other.name == name), None
        )
        yield "made from", f"{name} ({ancestor.card.kind})" if ancestor else f"{name}, which is gone"
    for stem, file in card.base.items():
        yield f"base of {stem}", Markup(f"{markdown.code(file.path)}, sha256 {markdown.code(file.sha256[:16])}")
    yield "content encoder", card.content
    yield "config", markdown.code(card.config[:16])
    yield "code", card.code
    yield "files", markdown.code(entry.digest[:16])


def _trainings(card: Card) -> str:
    columns = ("network", "phase", "adapted", "outcome", "steps", "best step", "validation loss")
    rows = [
        (t.network, t.phase, t.adapt, t.outcome, t.steps, t.best_step, "" if t.best is None else f"{t.best:.4g}")
        for t in card.trainings
    ]
    return markdown.table(columns, rows, "llllrrr")


def _figures(entry: Entry) -> Iterator[str]:
    """Tables of the newest evaluation on each test set."""
    newest = {scores["testset"]: scores for scores in registry.scores(entry)}
    for testset, scores in newest.items():
        rows = [
            (name, shown(scores["totals"][name]), metric.unit, len(scores["items"].get(name, ())) or "", metric.meaning)
            for name, metric in METRICS.items()
            if name in scores["totals"]
        ]
        missing = "".join(
            f"\n- missing: {markdown.text(name)}: {markdown.text(why)}"
            for name, why in scores.get("missing", {}).items()
        )
        table = markdown.table(("figure", "", "unit", "sentences", "meaning"), rows, "lrlr")
        yield f"Test set `{testset[:12]}`\n\n{table}\n{missing}".rstrip()


def _rights(store: Store, card: Card) -> Iterator[str]:
    yield from _consents(store, card)
    for stem, file in card.base.items():
        yield f"- base of {stem}: the licence of {markdown.code(file.path)} applies to models made from it"
    yield "- the trained weights are yours; voicemill itself is licensed under Apache-2.0"


def _consents(store: Store, card: Card) -> Iterator[str]:
    try:
        rows = CorpusVersion.open(store, card.corpus_version).uploads(["speaker", "consent"]).to_pylist()
    except StoreError as error:
        yield f"- consents: unknown: {markdown.text(error)}"
        return
    consents: dict[str, set[str]] = {}
    for row in rows:
        if row["consent"] and (not card.heard or row["speaker"] in card.heard):
            consents.setdefault(row["speaker"], set()).add(row["consent"])
    for speaker in sorted(consents)[:SHOWN]:
        yield f"- consent of {markdown.text(speaker)}: {markdown.text('; '.join(sorted(consents[speaker])))}"
    if len(consents) > SHOWN:
        yield f"- consents of {len(consents) - SHOWN} more speakers: see table `uploads` of the corpus version"
    if card.corpus_version in forgotten_versions(store):
        yield "- **a speaker of this corpus version was forgotten since**"


def _files(entry: Entry) -> Iterator[tuple[str, object, str]]:
    for name, sha256 in entry.card.files.items():
        path = entry.folder / name
        size = f"{path.stat().st_size:,}" if path.exists() else "gone"
        yield markdown.code(name), size, markdown.code(sha256)
    for stem, path in entry.weights.items():
        if not path.is_relative_to(entry.folder):
            size = f"{path.stat().st_size:,}" if path.exists() else "gone"
            yield Markup(f"{markdown.code(path)} ({stem})"), size, "outside the entry"


def _history_table(entry: Entry, now: VoiceStatus) -> str:
    return markdown.table(("when", "status", "who", "why"), _history(entry, now))


def _history(entry: Entry, now: VoiceStatus) -> Iterator[tuple[str, str, str, str]]:
    for change in now.history:
        if entry.number in (change.number, change.instead_of if change.stage == "champion" else 0):
            own = change.number == entry.number
            status = f"{change.stage}{' (forced)' if change.forced else ''}" if own else f"succeeded by {change.number}"
            yield change.when, status, change.who, change.why


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
