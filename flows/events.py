"""Events that start work: `upload.arrived`, `corpus.published`, `voice.trained` and `voice.promoted`;
flows/prefect.yaml has their triggers.

Each is posted by a request that the server answers. Prefect's own `emit_event` sends from a thread and is silent if
that fails, and an upload whose event is lost would wait for next month's refresh.
"""

import logging

from voicemill.flows.service.notices.posting import post_event
from voicemill.storage.corpus.versions import Version
from voicemill.storage.errors import ServerError
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.store import Store
from voicemill.storage.voices.cards import Entry
from voicemill.storage.voices.status import read_status


def uploads_arrived(inbox: Inbox, files: int, megabytes: float) -> None:
    """Send `upload.arrived`: files arrived in an inbox. The event carries their count and size, not their names.

    Raises:
        ServerError: the server did not accept the event.
    """
    post_event("upload.arrived", f"voicemill.inbox:{inbox.url}", {"files": files, "megabytes": round(megabytes, 3)})


def corpus_published(store: Store, version: Version, before: Version | None) -> None:
    """Send `corpus.published`: a new corpus version, and what it adds to the one before.

    A failure is logged, not raised: the version is published, and the refresh must not fail.
    """
    counts, old = version.counts, before.counts if before else None
    payload = {
        "store": str(store.root),
        "version": version.number,
        "minutes": round(counts.hours * 60, 2),
        "speakers": counts.speakers,
        "minutes_added": round((counts.hours - (old.hours if old else 0.0)) * 60, 2),
        "speakers_added": counts.speakers - (old.speakers if old else 0),
    }
    try:
        post_event("corpus.published", f"voicemill.store:{store.root}", payload)
    except ServerError as error:
        logging.getLogger("prefect.voicemill").warning("No training starts automatically: %s", error)


def voice_trained(store: Store, entry: Entry) -> None:
    """Send `voice.trained`: a trained, distilled or compressed entry, which a promotion evaluates next. A retired entry
    (made earlier, or trained on a speaker who was forgotten meanwhile) has no event.

    A failure is logged, not raised: the entry exists.
    """
    if read_status(entry.folder.parent).of(entry.number) == "retired":
        return
    _post_voice("voice.trained", store, entry, "No evaluation")


def voice_promoted(store: Store, entry: Entry) -> None:
    """Send `voice.promoted`: a new champion, from which distillation and compression start. A failure is logged."""
    _post_voice("voice.promoted", store, entry, "No distillation or compression")


def _post_voice(name: str, store: Store, entry: Entry, follow_up: str) -> None:
    payload = {"store": str(store.root), "voice": entry.card.voice, "kind": entry.card.kind, "number": entry.number}
    # triggers match labels, not the payload; the kind selects the deployment
    labels = {"voicemill.voice": entry.card.voice, "voicemill.kind": entry.card.kind}
    try:
        post_event(name, f"voicemill.store:{store.root}", payload, labels)
    except ServerError as error:
        logging.getLogger("prefect.voicemill").warning("%s starts automatically: %s", follow_up, error)
