"""`voicemill demo`: synthesises a corpus and refreshes it three times."""

import shlex
import sys
from pathlib import Path

from rich.text import Text

from voicemill.flows.demo.corpus import add_one_upload, synthesise
from voicemill.flows.display.progress import fresh
from voicemill.flows.display.summary import Summary
from voicemill.flows.display.terminal import console, progress_bar, say, show_summary
from voicemill.flows.service.client import prefect_api
from voicemill.storage.errors import StoreError
from voicemill.storage.files import write_text
from voicemill.storage.store import Store

TARGET = -20.0
"""Loudness target of the third refresh, LUFS."""


def run(folder: Path) -> None:
    """Synthesise an inbox under `folder`; refresh; add an upload and refresh; change the loudness and refresh.

    Raises:
        StoreError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(f"{folder} is not empty: name a new folder, or remove it: rm -r {folder}")
    inbox = folder / "inbox"
    with console.status("synthesising eight speakers"):
        synthesise(inbox)
    store = Store.open(folder / "store", create=True)
    louder = folder / "louder.toml"
    write_text(louder, f"[loudness]\ntarget_lufs = {TARGET}\n")
    with prefect_api(store):
        _step("1. everything is new", folder, store)
        added = add_one_upload(inbox)
        _step(f"2. one upload added, {added.path}: only its batch runs", folder, store)
        _step(f"3. loudness target {TARGET:g} LUFS: loudness and the stages after it run", folder, store, louder)


def _step(title: str, folder: Path, store: Store, config: Path | None = None) -> None:
    named = ["--inbox", str(folder / "inbox"), "--store", str(folder / "store")]
    console.rule(Text(title, style="bold"), align="left")
    say(shlex.join(["voicemill", "refresh", *named, *(["--config", str(config)] if config else [])]), "$ ")
    console.print()
    with progress_bar(fresh(), shown=sys.stderr.isatty()):
        summary = _refresh(folder / "inbox", store, str(config or "default"))
    show_summary(summary, store=str(folder / "store"))
    console.print()


def _refresh(inbox: Path, store: Store, config: str) -> Summary:
    from voicemill.flows import refresh as flow

    return flow.refresh(flow.RefreshOptions(inbox=str(inbox), store=str(store.root), config=config))
