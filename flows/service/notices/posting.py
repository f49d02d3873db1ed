"""Events, each posted by a request that the server answers: none is lost unseen."""

from collections.abc import Mapping
from typing import Any

from voicemill.storage.errors import ServerError


def post_event(name: str, resource: str, payload: dict[str, Any], labels: Mapping[str, str] | None = None) -> None:
    """Send an event by a request that the server answers.

    Prefect's own `emit_event` sends from a thread and is silent where that fails.

    Raises:
        ServerError: the server did not accept it.
    """
    from prefect.client.orchestration import get_client
    from prefect.events import Event, Resource

    event = Event(
        event=name, resource=Resource({"prefect.resource.id": resource} | dict(labels or {})), payload=payload
    )
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except Exception as error:  # any error of the client, from a refused connection to a wrong password
        raise ServerError(f"the Prefect server did not accept the event {name}: {error}") from error
