"""Which Prefect server a command uses: that of PREFECT_API_URL, or the private one of its store."""

import gc
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from voicemill.flows.service.access import HEARTBEAT
from voicemill.flows.service.environment import check_limits, direct_loopback, proxies
from voicemill.flows.service.server import PortTaken, PrivateServer
from voicemill.storage.errors import ServerError
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

POLL: Seconds = 0.5
"""Interval between looks at whether the server lives."""
MOST_DEATHS = 3
"""Deaths of the server that one command survives."""
REVIVAL_LIMIT: Seconds = 60.0
"""Time limit for another command, which holds the port of a dead server, to start it again."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector during imports, and leave what they made out of later collections.

    Imports make hundreds of thousands of objects, nearly all of which stay: those of the Prefect server take 3.3 s of
    CPU time this way, and 4.8 s with the collector at work.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def prefect_api(store: Store, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Make this process a client of its server and yield the dashboard's address; enter it before Prefect is imported.

    `meanwhile` is called while a private server starts, which takes seconds: the place for slow imports.
    """
    check_limits()
    proxies()
    logging.raiseExceptions = False  # else a record that cannot be sent is two lines more for whoever waits
    quiet = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        **direct_loopback(),
        **HEARTBEAT,
    }
    if url := os.environ.get("PREFECT_API_URL"):
        os.environ.update(quiet)
        check_server(url)
        yield url.removesuffix("/api")
        return
    server = PrivateServer(store)
    try:
        os.environ.update(quiet | server.settings)
        with collector_paused():
            import prefect  # noqa: F401  (every client needs it, and it takes seconds)

            meanwhile()
        server.wait()
        if server.alone:
            close_dead_runs()
        try:
            with kept_alive(server):
                yield server.url
        except Exception as error:
            if _from_server(error):
                raise ServerError(
                    f"the private Prefect server failed: {server.reason() or error}. What was done stays: fix it, and "
                    "run the same command again"
                ) from error
            raise
        finally:
            _flush()
    finally:
        server.stop()


@contextmanager
def kept_alive(server: PrivateServer) -> Iterator[None]:
    """Start the server again whenever it ends during the block; Prefect's clients repeat what they asked.

    Where that fails, this process ends at once with one line, as if it were killed: a flow that waits for its server
    would hang for minutes, and the same command resumes from what was done.
    """
    ended = threading.Event()

    def watch() -> None:
        deaths, end = 0, 0.0
        while not ended.wait(POLL):
            reason = ""
            try:
                deaths += server.revive()
                end = 0.0
            except PortTaken as error:  # by the command that started the server, which starts it again
                end = end or time.monotonic() + REVIVAL_LIMIT
                reason = str(error) if time.monotonic() > end else ""
            except (OSError, ServerError) as error:
                deaths += 1
                reason = str(error) if deaths > MOST_DEATHS else ""
            if deaths > MOST_DEATHS:
                reason = reason or f"it ended {deaths} times"
            if reason and not ended.is_set():
                log = server.store.prefect / "server.log"
                print(f"voicemill: the private Prefect server is lost ({reason}); see {log}", file=sys.stderr)
                print("Run the same command again: it resumes from what was done", file=sys.stderr, flush=True)
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True, name="server watch")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _from_server(error: Exception) -> bool:
    """Whether an error is an answer of the server, or the lack of one, and not of the flow."""
    return any(kind.__module__.partition(".")[0] == "httpx" for kind in type(error).__mro__)


def close_dead_runs() -> None:
    """Mark the runs in progress as crashed: no process of them is left, since nobody used their server."""
    from prefect.client.orchestration import get_client

    from voicemill.flows.service.recovery.runs import crash_runs

    with get_client(sync_client=True) as client:
        crash_runs(client, "its command was killed, and left it behind")


def _flush() -> None:
    """Send what Prefect has queued before the server ends: task runs are recorded from events sent by threads."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    EventsWorker.drain_all(timeout=10)
    APILogHandler().flush()


BUSY_SERVER_S = 60
"""How long a server that accepts a connection may take to say that it is healthy: many tasks at once keep it busy."""


def check_server(url: str) -> None:
    """Check that a Prefect server answers at `url`; 401 passes, because a server that wants credentials is there.

    Raises:
        ServerError: nothing answers there, or with an error.
    """
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=BUSY_SERVER_S):
            return
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise ServerError(f"PREFECT_API_URL is {url}, which answered {error.code} to /health") from error
    except OSError as error:
        raise ServerError(
            f"PREFECT_API_URL is {url}, where no Prefect server answers ({error}). "
            "Start it, or `unset PREFECT_API_URL` to use a private server"
        ) from error
