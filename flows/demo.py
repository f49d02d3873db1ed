"""`voicemill demo`: the main job on a corpus that it synthesises, three times."""

import os
import sys
from pathlib import Path

from flows.demo_corpus import add_one_upload, synthesise
from flows.progress import fresh
from flows.server import prefect_api
from flows.summary import Summary
from flows.terminal import console, progress_bar, show_summary
from storage.errors import StoreError
from storage.store import Store, write_atomic

TARGET = -20.0
"""LUFS, of the third refresh."""


def run(folder: Path) -> None:
    """Synthesise an inbox under `folder`; refresh; add an upload and refresh; change the loudness and refresh.

    Raises:
        StoreError: the folder holds something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(f"{folder} is not empty: name a new folder, or remove it: rm -r {folder}")
    inbox = folder / "inbox"
    with console.status("synthesising eight speakers"):
        synthesise(inbox)
    store = Store.open(folder / "store", create=True)
    louder = folder / "louder.toml"
    write_atomic(louder, f"[loudness]\ntarget_lufs = {TARGET}\n".encode())
    with prefect_api(store):
        _step(1, f"refresh of {inbox}: everything is new", inbox, store)
        added = add_one_upload(inbox)
        _step(2, f"one upload added ({added.path}): only its batch runs", inbox, store)
        _step(3, f"loudness target {TARGET} LUFS: loudness and what follows it run", inbox, store, louder)


def _step(number: int, title: str, inbox: Path, store: Store, config: Path | str = "default") -> None:
    console.rule(f"[bold]{number}. {title}", align="left")
    console.print()
    with progress_bar(fresh(), shown=sys.stderr.isatty()):
        summary = _refresh(inbox, store, str(config))
    show_summary(summary, store=os.path.relpath(store.root))


def _refresh(inbox: Path, store: Store, config: str) -> Summary:
    from flows import refresh as flow

    return flow.refresh(flow.RefreshOptions(inbox=str(inbox), store=str(store.root), config=config))
