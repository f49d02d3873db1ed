"""Requests to the API of a Prefect server under test, and its pages as Chromium renders them without a network."""

import base64
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

import psutil

from voicemill.flows.service.access import entry_form

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


def secret_of(address: str) -> str:
    """Secret of the private server at an address, `user:password`, read from its store as its owner does."""
    port = address.split("/")[2].rpartition(":")[2]
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, ValueError):
            words = process.cmdline()
            folder = Path(words[words.index("voicemill.flows.service.serve") + 1])
            if (folder / ".serving").read_text().split() == [str(process.pid), port]:
                return (folder / ".secret").read_text().strip()
    raise LookupError(f"no private server at {address}")


def get(address: str, secret: str = "", **headers: str) -> Any:
    """JSON of a GET request, authenticated."""
    token = base64.b64encode((secret or secret_of(address)).encode()).decode()
    request = urllib.request.Request(address, headers={"Authorization": f"Basic {token}"} | headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def ask(api: str, path: str, method: str = "POST", **body: Any) -> Any:
    """Answer of the server's API to a POST of `body` to `path`, or to another method; None = an empty one. Busy servers
    (503: the database is locked) are asked again as often as Prefect's own client does."""
    secret = secret_of(api)
    token = base64.b64encode(secret.encode()).decode()
    waits = iter((1, 2, 4, 8, 16))
    while True:
        try:
            csrf = get(f"{api}/csrf-token?client=tests", secret)["token"]
            headers = {
                "Content-Type": "application/json",
                "Authorization": f"Basic {token}",
                "Prefect-Csrf-Token": csrf,
                "Prefect-Csrf-Client": "tests",
            }
            request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), headers, method=method)
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.loads(answer.read() or b"null")
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
        enter(address, folder, folder / str(attempt))
        html = dump(address, folder / str(attempt), budget)
        if all(words in html for words in expected):
            break
    return html


def enter(address: str, folder: Path, profile: Path) -> str:
    """Enter the dashboard with a profile of Chromium, as `voicemill dashboard --open` does; HTML of its first page."""
    entry = folder / "entry.html"
    entry.write_text(entry_form(secret_of(address), f"http://{address.split('/')[2]}"))
    return dump(entry.as_uri(), profile, 10)


def dump(address: str, profile: Path, budget: int) -> str:
    """HTML of a page as Chromium renders it with this profile; "" if it takes too long."""
    options = (f"--virtual-time-budget={budget}000", f"--user-data-dir={profile}", "--dump-dom")
    with suppress(subprocess.TimeoutExpired):
        command = [str(CHROMIUM), *FLAGS, *options, address]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    return ""


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
