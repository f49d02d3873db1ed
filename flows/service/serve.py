"""The private Prefect server as a process; it ends when no command uses it.

`python -m voicemill.flows.service.serve FOLDER DESCRIPTOR PORT`: a command that is killed cannot stop its server, so
the server looks for it, and ends as soon as it can lock `FOLDER/.clients`, which every command that uses it shares. The
descriptor is that of `FOLDER/.serving`, locked as long as this process lives (flows/service/server.py).
"""

import os
import sys
import threading
import time
from pathlib import Path

from voicemill.storage.locks import FileLock


def _watch(clients: FileLock) -> None:
    while not clients.take():
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    folder, descriptor, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with os.fdopen(descriptor, "wb") as serving, FileLock(folder / ".clients") as clients:
        os.set_inheritable(descriptor, False)
        serving.write(f"{os.getpid()} {port}".encode())
        serving.flush()
        threading.Thread(target=_watch, args=(clients,), daemon=True).start()

        import uvicorn
        from prefect.server.api.server import create_app

        app = create_app(final=True)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=3)


if __name__ == "__main__":
    main()
