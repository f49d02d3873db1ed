"""The events that start work: `upload.arrived`, `corpus.published`, `voice.trained` and `voice.promoted`;
flows/prefect.yaml has their triggers.

They are posted and answered. Prefect's own `emit_event` sends from a thread and is silent where that fails, and an
upload whose event was lost would wait for the next month.
"""

import logging
from collections.abc import Mapping
from typing import Any

from voicemill.storage.corpus.versions import Version
from voicemill.storage.errors import ServerError
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.store import Store
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.registry import Entry


def uploads_arrived(inbox: Inbox, files: int, megabytes: float) -> None:
    """Tell the Prefect server that files arrived in an inbox; the event names none of them.

    Raises:
        ServerError: it did not take the event.
    """
    _post("upload.arrived", f"voicemill.inbox:{inbox.url}", {"files": files, "megabytes": round(megabytes, 3)})


def corpus_published(store: Store, version: Version, before: Version | None) -> None:
    """Tell the Prefect server of a new corpus version and of what it added to the one before.

    Where that fails there is a line in the log: the version stands, and the refresh that made it must not fail.
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
        _post("corpus.published", f"voicemill.store:{store.root}", payload)
    except ServerError as error:
        logging.getLogger("prefect.voicemill").warning("No training starts by itself: %s", error)


def voice_trained(store: Store, entry: Entry) -> None:
    """Tell the Prefect server of a new entry of a voice, trained, distilled or compressed: it is to be judged, unless
    it is retired: made before, or of somebody who was forgotten meanwhile.

    Where that fails there is a line in the log: the entry stands.
    """
    if stages.standing(entry.folder.parent).of(entry.number) == "retired":
        return
    _of_voice("voice.trained", store, entry, "No judging")


def voice_promoted(store: Store, entry: Entry) -> None:
    """Tell the Prefect server of a new champion; what is made of champions is made of it."""
    _of_voice("voice.promoted", store, entry, "No distillation or compression")


def _of_voice(name: str, store: Store, entry: Entry, missed: str) -> None:
    payload = {"store": str(store.root), "voice": entry.card.voice, "kind": entry.card.kind, "number": entry.number}
    # a trigger matches labels, not the payload: by the kind it is told which champions it is for
    labels = {"voicemill.voice": entry.card.voice, "voicemill.kind": entry.card.kind}
    try:
        _post(name, f"voicemill.store:{store.root}", payload, labels)
    except ServerError as error:
        logging.getLogger("prefect.voicemill").warning("%s starts by itself: %s", missed, error)


def _post(name: str, resource: str, payload: dict[str, Any], labels: Mapping[str, str] | None = None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import Event, Resource

    event = Event(
        event=name, resource=Resource({"prefect.resource.id": resource} | dict(labels or {})), payload=payload
    )
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except Exception as error:  # whatever the client raises, from a refused connection to a refused password
        raise ServerError(f"the Prefect server did not take the event {name}: {error}") from error
