"""A Prefect server under test: its API as it answers, and its pages as a browser without a network renders them."""

import json
import shutil
import subprocess
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
