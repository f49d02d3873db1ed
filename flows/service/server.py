"""The private Prefect server of a store, on loopback: found, started, started again, left.

Prefect's ephemeral mode loses task runs when the process ends, so no command uses it. The private server keeps its
SQLite database in `<store>/prefect`. Locks tell who is there; the operating system frees them whatever happens:
- `.serving` is held by the server as long as it lives, and holds its process id and port: other commands find it there;
- `.clients` is shared by all commands that use the server, which ends when it can take that lock alone. So the command
  that started it may end, or be killed, before the others, and none loses its server;
- `.starting` is held by a command that looks for the server or starts it: two do not start two.

The command that starts the server opens its socket and keeps it: while a server that was killed is started again,
requests wait in the socket, and no other process can take the port. Who may use the server: access.py and door.py.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from voicemill.flows.service.access import HOST, own_origin, private_settings, renew_secret
from voicemill.storage.errors import ServerError
from voicemill.storage.locks import FileLock, lock_holder
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

START_LIMIT: Seconds = 240.0
"""Time limit for the server to answer. The first start creates the database: 8-9 s on two idle cores, later ones 3.5 s,
and over 60 s beside five other processes. A server that ends is noticed at once."""
BACKLOG = 2048
"""Connections that wait for the server, as many as uvicorn has."""
FULL = 4 * 10**6
"""Bytes: a disk with less is full for the server, whose log of changes grows by 4 MB at a time."""
LONGEST_LOG = 10**6
"""Bytes of the log in which an error is looked for."""
ERROR_LINE = re.compile(r"[\w.]*(Error|Exception)\b.*: ")
STOP_LIMIT: Seconds = 10.0
"""Time limit for the server to close its connections; then it is killed."""


class PortTaken(ServerError):
    """Another process has the port of a server that must keep it."""


class PrivateServer:
    """The private server of a store, started by this process or found running.

    A new one listens on `port` if that is free; 0 = any port. It has a new secret, unless it takes the place of one
    that `voicemill up` holds (`supervised`): there it takes over port and secret, which workers know.

    Raises:
        ServerError: the secret of a server that runs cannot be read.
    """

    def __init__(self, store: Store, port: int = 0, *, supervised: bool | None = None) -> None:
        self.store = store
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        log = store.prefect / "server.log"
        self._log_start = log.stat().st_size if log.exists() else 0
        store.prefect.mkdir(parents=True, exist_ok=True)
        self._starting = FileLock(store.prefect / ".starting")
        self._starting.take(wait=True)
        self._clients = FileLock(store.prefect / ".clients")
        self._clients.take(shared=True, wait=True)  # waits for a server that is ending
        self.alone = False
        """Whether no command used the store's server before: flow runs in progress belong to dead processes."""
        try:
            if address := running_server(store):
                self.port: int = address[1]
            else:
                self.alone = self._clients.take()
                self._clients.take(shared=True, wait=True)
                supervised = lock_holder(store.prefect / ".up") is not None if supervised is None else supervised
                if not supervised:
                    renew_secret(store)
                self._socket = _listen((supervised and _last_port(store)) or port)
                self.port = self._socket.getsockname()[1]
            self.settings: dict[str, str] = private_settings(store, self.port)
            if self._socket is not None:
                self._start()
        except BaseException:
            self._starting.close()
            self._clients.close()
            raise

    @property
    def url(self) -> str:
        """Address of the dashboard."""
        return own_origin(self.port)

    def _start(self) -> None:
        folder = self.store.prefect
        assert self._socket is not None
        with FileLock(folder / ".serving") as serving, (folder / "server.log").open("ab") as log:
            self._log_start = log.tell()
            serving.note("")  # what an earlier server wrote
            serving.take(wait=True)  # inherited by the server: from here on `running_server` sees it
            descriptors = [serving.fileno(), self._socket.fileno()]
            command = [sys.executable, "-m", "voicemill.flows.service.serve", str(folder), *map(str, descriptors)]
            self._process = subprocess.Popen(
                command,
                env=os.environ | self.settings | {"SQLITE_TMPDIR": str(folder)},  # else the server needs room there too
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for the command, which reports its end to the server
            )

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            ServerError: it ended, or did not answer within START_LIMIT.
        """
        self._wait()
        self._starting.close()

    def _wait(self) -> None:
        end = time.monotonic() + START_LIMIT
        while not _healthy(self.port):
            if self._process is not None and self._process.poll() is not None:
                raise ServerError(f"the private Prefect server ended at its start: {self.reason() or 'no word why'}")
            if time.monotonic() > end:
                raise ServerError(
                    f"the private Prefect server did not answer on {self.url} within {START_LIMIT:.0f} s; "
                    f"see {self.store.prefect / 'server.log'}"
                )
            time.sleep(0.05)

    def reason(self) -> str:
        """Why the server failed: a full disk, or the last error of its log since this command came; "" = unknown."""
        log = self.store.prefect / "server.log"
        free = shutil.disk_usage(log.parent).free
        if free < FULL:
            return f"no room on the disk of {log.parent} ({free / 1e6:.1f} MB free)"
        with log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read(LONGEST_LOG).decode(errors="replace").splitlines()
        errors = [line for line in lines if ERROR_LINE.match(line)]
        return f"{errors[-1][:300]} (see {log})" if errors else ""

    def revive(self) -> bool:
        """Start the server again if it has ended, with the same port and secret; returns whether it was started.

        While the command that started the first one lives, it holds the port, and no other can.

        Raises:
            PortTaken: another process has the port.
            ServerError: the new server ended too.
        """
        if running_server(self.store):
            return False
        with FileLock(self.store.prefect / ".starting") as starting:
            starting.take(wait=True)
            if running_server(self.store):
                return False
            if self._socket is None:
                self._socket = _listen(self.port, fixed=True)
            self._start()
            self._wait()
        return True

    def stop(self) -> None:
        """Leave the server; the last command that leaves ends it, whoever started it."""
        self._starting.close()
        if self._socket is not None:
            self._socket.close()
        self._clients.release()
        if self._clients.take() and (address := running_server(self.store)):
            # a new command waits for the lock, and so meets no server that is about to end
            with contextlib.suppress(ProcessLookupError):
                os.kill(address[0], signal.SIGTERM)
            end = time.monotonic() + STOP_LIMIT
            while running_server(self.store) and time.monotonic() < end:
                time.sleep(0.02)
            if running_server(self.store):
                os.kill(address[0], signal.SIGKILL)
        if self._process is not None and self._process.poll() is None and running_server(self.store) is None:
            self._process.wait()
        self._clients.close()


def _listen(port: int, *, fixed: bool = False) -> socket.socket:
    """Socket that listens on `port` if that is free, else, unless it is `fixed`, on any port that is.

    Raises:
        ServerError: none is free; PortTaken where it is fixed.
    """
    for number in (port,) if fixed else (port, 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier server linger
        try:
            listener.bind((HOST, number))
            listener.listen(BACKLOG)
            return listener
        except OSError:
            listener.close()
    if fixed:
        raise PortTaken(f"port {port} of {HOST} is taken by another process")
    raise ServerError(f"no port of {HOST} is free")


def _last_port(store: Store) -> int:
    """Port of the last private server; 0 = none is known."""
    path = store.prefect / ".serving"
    _, _, port = path.read_text(errors="replace").partition(" ") if path.exists() else ("", "", "")
    return int(port) if port.isdigit() else 0


def running_server(store: Store) -> tuple[int, int] | None:
    """Process id and port of the private server that runs for a store; None = there is none."""
    while (text := lock_holder(store.prefect / ".serving")) is not None:
        if text:
            process, port = text.split()
            return int(process), int(port)
        time.sleep(0.02)  # it has started, and has not written them yet
    return None


def _healthy(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), direct.open(f"{own_origin(port)}/api/health", timeout=2) as answer:
        return bool(answer.status == 200)
    return False
