"""Requests to the API of a Prefect server under test, and its pages as Chromium renders them without a network."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
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
    """Answer of the server's API to a POST of `body` to `path`. Busy servers (503: the database is locked) are asked
    again as often as Prefect's own client does."""
    headers = {"Content-Type": "application/json"}
    waits = iter((1, 2, 4, 8, 16))
    while True:
        request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            wait = next(waits, None)
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or wait is None:
                raise
        time.sleep(wait)


def page(address: str, expected: Iterable[str], folder: Path, budget: int = 60) -> str:
    """HTML of the page as Chromium renders it, up to three times until it has all `expected` words: a busy machine can
    be too slow.

    `budget`: virtual seconds that the page runs for. The page of a run in progress polls the server all that time.
    """
    html = ""
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
            html = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
        if all(words in html for words in expected):
            break
    return html


def driven(address: str, script: str, folder: Path) -> Any:
    """Value of `script`, an expression that may be a promise, run in a page that Chromium has open.

    It runs through the DevTools protocol: the policy of the page lets in no script but its own.
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
                request = {"expression": script, "awaitPromise": True, "returnByValue": True}
                reply: dict[str, Any] = {}
                for number in range(1, 11):  # a script that starts before the page has loaded ends with the page before
                    socket.send(json.dumps({"id": number, "method": "Runtime.evaluate", "params": request}))
                    while (reply := json.loads(socket.recv(timeout=300))).get("id") != number:
                        pass
                    if "result" in reply:
                        break
                    time.sleep(0.5)
        finally:
            browser.terminate()
    return reply["result"]["result"].get("value", reply)


def _port(file: Path) -> str:
    """Port of the DevTools protocol, which Chromium writes to `file` once it listens."""
    for _ in range(600):
        if file.is_file() and (lines := file.read_text().splitlines()):
            return lines[0]
        time.sleep(0.1)
    raise TimeoutError(f"Chromium did not write {file}")
