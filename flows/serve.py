"""The private Prefect server as a process: `python -m flows.serve PARENT PORT`. It ends when its parent does.

A parent that is killed cannot stop its server; so the server looks for it, and leaves no orphan behind.
"""

import os
import sys
import threading
import time


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    parent, port = int(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()

    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(create_app(final=True), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=3)


if __name__ == "__main__":
    main()
