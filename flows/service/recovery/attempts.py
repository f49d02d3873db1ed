"""Tags of flow runs: what became of a crashed one, and by which a run knows that it takes up the work of another."""

from collections.abc import Iterable

RESUMED = "resumed"
"""Tag of a run that takes up lost work: it also sends the events that the lost run may not have sent."""
ATTEMPT = "attempt:"
"""Beginning of the tag that counts the runs of the same work."""
TAKEN_UP, COVERED, GIVEN_UP = "taken-up", "covered", "given-up"
"""Tags of a crashed run: a new run follows it; a later run does the same work; no run follows it."""
KILLED = "killed"
"""Tag of a run that fails because a process within it was killed: it is taken up like one that crashed."""
SERVER_NOTE = ".server-seen"
"""File beside the database of a private server: the server at the last look of the reconciler. `down` removes it."""


def attempt_of(tags: Iterable[str]) -> int:
    """Number of a run among those of the same work, from 1."""
    counts = (tag.removeprefix(ATTEMPT) for tag in tags if tag.startswith(ATTEMPT))
    return max((int(count) for count in counts if count.isdigit()), default=1)


def is_resumed() -> bool:
    """Whether the current flow run takes up lost work."""
    from prefect.runtime import flow_run

    return RESUMED in flow_run.tags
