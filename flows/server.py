"""Which Prefect server a command talks to: the one of PREFECT_API_URL, or a private one of the store on loopback.

Prefect's ephemeral mode loses task runs when the process ends, so no command uses it. The private server keeps its
SQLite database in `<store>/prefect`; a second command on the same store finds it running by `server.json`.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import ServerError
from storage.store import Store, read_json, write_atomic
from storage.units import Seconds

START_LIMIT: Seconds = 60.0
"""The first start creates the database: 8-9 s on two cores, later ones 3.5 s."""


def private_settings(store: Store, port: int) -> dict[str, str]:
    """Environment of the private server and of the clients that talk to it."""
    return {
        "PREFECT_HOME": str(store.prefect),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        # the dashboard calls the address it is told here, not the one it was loaded from
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


class PrivateServer:
    """A server that this process started, or found running for the same store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = store.prefect / "server.json"
        found = read_json(self._mark, {}).get("port")
        self.port: int = found if found and _healthy(found) else self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> int:
        self.store.prefect.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        with (self.store.prefect / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "flows.serve", str(os.getpid()), str(port)]
            environment = os.environ | private_settings(self.store, port)
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return port

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            ServerError: it ended, or did not answer within START_LIMIT.
        """
        end = time.monotonic() + START_LIMIT
        while not _healthy(self.port):
            if self._process is not None and self._process.poll() is not None:
                raise ServerError(
                    f"the private Prefect server ended at its start; see {self.store.prefect / 'server.log'}"
                )
            if time.monotonic() > end:
                raise ServerError(
                    f"the private Prefect server did not answer on {self.url} within {START_LIMIT:.0f} s; "
                    f"see {self.store.prefect / 'server.log'}"
                )
            time.sleep(0.05)
        if self._process is not None:
            write_atomic(self._mark, json.dumps({"port": self.port, "pid": self._process.pid}).encode())

    def stop(self) -> None:
        """End the server if this process started it."""
        if self._process is None:
            return
        self._mark.unlink(missing_ok=True)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextmanager
def prefect_api(store: Store) -> Iterator[str]:
    """The address of the dashboard, with this process set up as a client. To be entered before Prefect is imported."""
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "PREFECT_CLI_PROMPT": "false", "DO_NOT_TRACK": "1"}
    if url := os.environ.get("PREFECT_API_URL"):
        os.environ.update(quiet)
        reachable(url)
        yield url.removesuffix("/api")
        return
    server = PrivateServer(store)
    try:
        os.environ.update(quiet | private_settings(store, server.port))
        import prefect  # noqa: F401  (two seconds of import while the server starts)

        server.wait()
        try:
            yield server.url
        finally:
            _flush()
    finally:
        server.stop()


def _flush() -> None:
    """Send what Prefect still holds back before the server goes: task runs are recorded from events sent in threads."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    EventsWorker.drain_all(timeout=10)
    APILogHandler().flush()


def reachable(url: str) -> None:
    """Ask the Prefect server at `url` for its health.

    Raises:
        ServerError: nothing answers there, or not well. 401 passes: the server is there, and wants credentials.
    """
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=10):
            return
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise ServerError(f"PREFECT_API_URL is {url}, and it answered {error.code} to /health") from error
    except OSError as error:
        raise ServerError(
            f"PREFECT_API_URL is {url}, and no Prefect server answers there ({error}). "
            "Start it, or `unset PREFECT_API_URL` to use a private server."
        ) from error


def _healthy(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer,
    ):
        return bool(answer.status == 200)
    return False


def database(store: Store) -> Path:
    """The SQLite file of the private server."""
    return store.prefect / "prefect.db"
