"""The watcher: notifies the server of files that others put into an inbox, once they no longer change.

Method: list the inbox every few seconds and compare sizes and times with what was announced. Not inotify, which misses
what another machine writes to a network folder and does not exist for an object store; a listing of 20,000 files takes
0.15 s. A file has settled when its size and time have not changed for `settle` seconds by our own clock. Files are
announced together once all new ones have settled, so that a copy of many is one arrival.
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
"""A listing that takes t seconds is repeated after t * SHARE seconds at the earliest: 5 % of the time at most."""
SETTLE: Seconds = 5.0
LONGEST: Seconds = 300.0
"""Time limit for a settled file to wait for others that still change."""


@dataclass(frozen=True)
class NewFiles:
    """Settled files that are not announced yet."""

    files: int
    megabytes: float


@dataclass
class Watcher:
    """Memory of an inbox: digests of paths, which name nobody, with sizes and times. Without it every file is new."""

    inbox: str
    memory: Path
    settle: Seconds = SETTLE
    longest: Seconds = LONGEST
    announced: dict[str, str] = field(default_factory=dict)
    """Digest of a path -> size and time of the announced file."""
    _seen: dict[str, tuple[str, Seconds]] = field(default_factory=dict)
    """Digest of a path -> size and time at the last listing, and since when they are the same."""
    _first: Seconds | None = None
    """Time when the first of the settled, unannounced files settled."""

    def __post_init__(self) -> None:
        self.announced = read_json(self.memory, {})

    def poll(self, now: Seconds) -> NewFiles | None:
        """List the inbox at `now` (a monotonic clock) and return what to announce; None = nothing.

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
        new = [key for key, stamp in stamps.items() if self.announced.get(key) != stamp]
        settled = [key for key in new if now - self._seen[key][1] >= self.settle]
        if not settled or not listing.audio:  # consents and transcripts without audio
            self._first = None
            return None
        self._first = now if self._first is None else self._first
        if len(settled) < len(new) and now - self._first < self.longest:
            return None
        return NewFiles(len(settled), sum(entries[key].size for key in settled) / 1e6)

    def confirm(self, now: Seconds) -> None:
        """Remember that the server was notified of what the last poll returned."""
        self.announced |= {key: stamp for key, (stamp, since) in self._seen.items() if now - since >= self.settle}
        if self._seen:  # an empty listing may be a folder that is not mounted
            self.announced = {key: stamp for key, stamp in self.announced.items() if key in self._seen}
        self._first = None
        write_json(self.memory, self.announced)


def memory_of(inbox: Inbox, folder: Path | None) -> Path:
    """File that holds the memory of an inbox: in `folder`, or in the user's state folder."""
    if folder is None:
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        folder = Path(home) / "voicemill"
    return folder / f"watch-{inbox.id}.json"


def watch(
    watcher: Watcher,
    notify: Callable[[Inbox, int, float], None],
    report: Callable[[str], None],
    *,
    poll: Seconds = POLL,
) -> None:
    """Watch until interrupted; wait for an inbox that cannot be listed and for a server that does not answer."""
    trouble, pause, listed = "", poll, 0.0
    while True:
        began = time.monotonic()
        try:
            new = watcher.poll(began)
            listed = time.monotonic() - began
            if new:
                notify(Inbox(watcher.inbox), new.files, new.megabytes)
                watcher.confirm(began)
                report(f"{new.files} new files, {new.megabytes:.1f} MB: notified the server")
            trouble, pause = "", poll
        except (InboxError, ServerError, OSError) as error:
            if str(error) != trouble:  # once, not every two seconds of a night
                report(f"{error}; trying again")
            trouble, pause = str(error), min(2 * pause, 60.0)
        time.sleep(max(pause, SHARE * listed))
