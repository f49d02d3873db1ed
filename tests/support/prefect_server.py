"""A Prefect server under test: its API as it answers, and its pages as a browser without a network renders them."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1300",
)


def ask(api: str, path: str, **body: Any) -> Any:
    """POST to the server's API."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def page(address: str, wanted: Iterable[str], folder: Path, budget: int = 60) -> str:
    """The page as Chromium renders it; asked for again while words are missing: a busy machine can be too slow.

    `budget`: seconds that the page believes to pass. The page of a run in progress asks the server all that time.
    """
    found = ""
    for attempt in range(3):
        command = [
            str(CHROMIUM),
            *FLAGS,
            f"--virtual-time-budget={budget}000",
            f"--user-data-dir={folder / str(attempt)}",
            "--dump-dom",
            address,
        ]
        with suppress(subprocess.TimeoutExpired):
            found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
        if all(words in found for words in wanted):
            break
    return found


def driven(address: str, script: str, folder: Path) -> Any:
    """Open a page in Chromium and run `script`, an expression that may be a promise, in it; gives its value.

    Through the DevTools protocol: the page's own policy lets no script in but its own.
    """
    from websockets.sync.client import connect

    options = ("--remote-debugging-port=0", "--autoplay-policy=no-user-gesture-required", "--mute-audio")
    command = [str(CHROMIUM), *FLAGS, *options, f"--user-data-dir={folder}", address]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as browser:
        try:
            port = _port(folder / "DevToolsActivePort")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=60) as answer:
                (target,) = [page for page in json.load(answer) if page["type"] == "page"]
            with connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=60) as socket:
                wanted = {"expression": script, "awaitPromise": True, "returnByValue": True}
                said: dict[str, Any] = {}
                for number in range(1, 11):  # what begins before the page is there ends with the one before it
                    socket.send(json.dumps({"id": number, "method": "Runtime.evaluate", "params": wanted}))
                    while (said := json.loads(socket.recv(timeout=300))).get("id") != number:
                        pass
                    if "result" in said:
                        break
                    time.sleep(0.5)
        finally:
            browser.terminate()
    return said["result"]["result"].get("value", said)


def _port(file: Path) -> str:
    """Chromium writes it down when it listens."""
    for _ in range(600):
        if file.is_file() and (lines := file.read_text().splitlines()):
            return lines[0]
        time.sleep(0.1)
    raise TimeoutError(f"Chromium did not write {file}")
