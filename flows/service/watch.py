"""The watcher: tells the server of files that others put into an inbox, when they have settled.

Method: list the inbox every few seconds and compare sizes and times with what was announced. Not inotify, which knows
nothing of what another machine writes to a network folder, and which an inbox in an object store does not have; a
listing of 20,000 files takes 0.15 s. A file has settled when its size and time have stayed for `settle` seconds by our
own clock. Files are announced together once all new ones have settled, so that a copy of many is one arrival.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from voicemill.storage.errors import InboxError, ServerError
from voicemill.storage.files import read_json, write_json
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.keys import digest
from voicemill.storage.units import Seconds

POLL: Seconds = 2.0
SHARE = 20
"""A listing that takes t seconds is done every t * SHARE seconds at most: a large inbox costs one part in twenty."""
SETTLE: Seconds = 5.0
LONGEST: Seconds = 300.0
"""A settled file waits no longer than this for others that still change."""


@dataclass(frozen=True)
class Arrived:
    """Files that nobody was told of yet."""

    files: int
    megabytes: float


@dataclass
class Watcher:
    """What is known of an inbox. The memory holds digests of paths, which name nobody; without it everything is new."""

    inbox: str
    memory: Path
    settle: Seconds = SETTLE
    longest: Seconds = LONGEST
    told: dict[str, str] = field(default_factory=dict)
    """Digest of a path -> size and time of the file that was announced."""
    _seen: dict[str, tuple[str, Seconds]] = field(default_factory=dict)
    """Digest of a path -> size and time, and since when it is so."""
    _first: Seconds | None = None
    """When the oldest of the settled, unannounced files settled."""

    def __post_init__(self) -> None:
        self.told = read_json(self.memory, {})

    def look(self, now: Seconds) -> Arrived | None:
        """List the inbox at `now` (a clock that only runs forward); what is to be announced, or None.

        Raises:
            InboxError: it cannot be listed.
        """
        listing = Inbox(self.inbox).listing()
        entries = {digest(e.path): e for e in (*listing.audio, *listing.others.values())}
        stamps = {key: f"{entry.size} {entry.stamp}" for key, entry in entries.items()}
        self._seen = {
            key: old if (old := self._seen.get(key)) and old[0] == stamp else (stamp, now)
            for key, stamp in stamps.items()
        }
        new = [key for key, stamp in stamps.items() if self.told.get(key) != stamp]
        settled = [key for key in new if now - self._seen[key][1] >= self.settle]
        if not settled or not listing.audio:  # consents and transcripts of nothing
            self._first = None
            return None
        self._first = now if self._first is None else self._first
        if len(settled) < len(new) and now - self._first < self.longest:
            return None
        return Arrived(len(settled), sum(entries[key].size for key in settled) / 1e6)

    def announced(self, now: Seconds) -> None:
        """The server was told of what the last look found: remember it."""
        self.told |= {key: stamp for key, (stamp, since) in self._seen.items() if now - since >= self.settle}
        if self._seen:  # an empty listing may be a folder that is not mounted
            self.told = {key: stamp for key, stamp in self.told.items() if key in self._seen}
        self._first = None
        write_json(self.memory, self.told)


def memory_of(inbox: Inbox, folder: Path | None) -> Path:
    """Where the watcher of an inbox keeps what it knows: with the store, or with the user's state."""
    if folder is None:
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        folder = Path(home) / "voicemill"
    return folder / f"watch-{inbox.id}.json"


def watch(
    watcher: Watcher,
    tell: Callable[[Inbox, int, float], None],
    say: Callable[[str], None],
    *,
    poll: Seconds = POLL,
) -> None:
    """Watch until interrupted. An inbox that cannot be listed and a server that is away are waited for."""
    trouble, pause, listed = "", poll, 0.0
    while True:
        began = time.monotonic()
        try:
            arrived = watcher.look(began)
            listed = time.monotonic() - began
            if arrived:
                tell(Inbox(watcher.inbox), arrived.files, arrived.megabytes)
                watcher.announced(began)
                say(f"{arrived.files} new files, {arrived.megabytes:.1f} MB: told the server")
            trouble, pause = "", poll
        except (InboxError, ServerError, OSError) as error:
            if str(error) != trouble:  # once, not every two seconds of a night
                say(f"{error}; trying again")
            trouble, pause = str(error), min(2 * pause, 60.0)
        time.sleep(max(pause, SHARE * listed))
