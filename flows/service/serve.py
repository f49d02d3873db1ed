"""The private Prefect server as a process that ends when no command uses it.

`python -m voicemill.flows.service.serve FOLDER DESCRIPTOR PORT`: a killed command cannot stop its server, so the server
ends as soon as it can lock `FOLDER/.clients`, which every command that uses it holds shared. The descriptor is that of
`FOLDER/.serving`, which stays locked as long as this process lives (flows/service/server.py).
"""

import os
import sys
import threading
import time
from pathlib import Path

from voicemill.flows.service.server import collector_paused
from voicemill.storage.locks import FileLock


def _exit_without_clients(clients: FileLock) -> None:
    """End this process when no command holds the lock any more."""
    while not clients.take():
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    """Serve until the last client leaves."""
    folder, descriptor, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with os.fdopen(descriptor, "wb") as serving, FileLock(folder / ".clients") as clients:
        os.set_inheritable(descriptor, False)
        serving.write(f"{os.getpid()} {port}".encode())
        serving.flush()
        threading.Thread(target=_exit_without_clients, args=(clients,), daemon=True).start()

        with collector_paused():
            import uvicorn
            from prefect.server.api.server import create_app

            app = create_app(final=True)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=3)


if __name__ == "__main__":
    main()
