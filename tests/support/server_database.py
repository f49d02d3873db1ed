"""Stores whose private server has its database already: Prefect takes 6 s of processor time to make one."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from support.made_once import made_once
from voicemill.flows.service.server import PrivateServer
from voicemill.storage.store import Store

NAME = "prefect.db"


def make_database(folder: Path) -> None:
    """Start and end the private server of a new store in `folder`."""
    server = PrivateServer(Store.open(folder / "store", create=True))
    try:
        server.wait()
    finally:
        server.stop()
    with sqlite3.connect(folder / "store" / "prefect" / NAME) as database:
        database.execute("VACUUM INTO ?", (str(folder / NAME),))
    database.close()


def server_database(factory: pytest.TempPathFactory) -> Path:
    """An SQLite database as Prefect's server makes it at its first start, once per session."""
    return made_once(factory, "server_database", make_database)[0] / NAME


def with_database(root: Path, database: Path) -> Path:
    """The store at `root`, made where there is none, with a copy of `database` unless it has one."""
    prefect = Store.open(root, create=True).prefect
    if not (prefect / NAME).exists():
        prefect.mkdir(parents=True, exist_ok=True)
        (prefect / NAME).touch(0o600)
        shutil.copyfile(database, prefect / NAME)
    return root
