"""The private Prefect server as a process that ends when no command uses it.

`python -m voicemill.flows.service.serve FOLDER DESCRIPTOR SOCKET`: a killed command cannot stop its server, so it ends
as soon as it can lock `FOLDER/.clients`, which every command that uses it holds shared. The descriptor is that of
`FOLDER/.serving`, which stays locked as long as this process lives (flows/service/server.py); the socket listens
already. The secret comes by environment (flows/service/access.py).
"""

import os
import socket
import sys
import threading
import time
from pathlib import Path

from voicemill.flows.service.client import collector_paused
from voicemill.storage.locks import FileLock


def _exit_without_clients(clients: FileLock) -> None:
    """End this process when no command holds the lock any more."""
    while not clients.take():
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    """Serve until the last client leaves."""
    folder, descriptor, listener = Path(sys.argv[1]), int(sys.argv[2]), socket.socket(fileno=int(sys.argv[3]))
    port: int = listener.getsockname()[1]
    umask = os.umask(0o077)  # the database is for the user alone, or for a group that shares the store
    if not umask & 0o020:
        os.umask(umask | 0o007)
    with os.fdopen(descriptor, "wb") as serving, FileLock(folder / ".clients") as clients:
        os.set_inheritable(descriptor, False)
        os.set_inheritable(listener.fileno(), False)
        serving.write(f"{os.getpid()} {port}".encode())
        serving.flush()
        threading.Thread(target=_exit_without_clients, args=(clients,), daemon=True).start()

        with collector_paused():
            import uvicorn
            from prefect.server.api.server import create_app

            from voicemill.flows.service.door import Door

            app = Door(create_app(final=True), port, os.environ["PREFECT_SERVER_API_AUTH_STRING"])
        config = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=3, proxy_headers=False, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
