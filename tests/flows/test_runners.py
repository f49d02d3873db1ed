"""Refreshes on Dask, where it is installed: the same rows, and a cluster that takes nothing from strangers."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.refreshed_store import RefreshedStore
from support.store_contents import contents, differences

from voicemill.flows.lot import task_runner
from voicemill.tasks.config import Config

pytestmark = pytest.mark.slow


def test_dask_gives_the_same_rows(cli: Any, refreshed: RefreshedStore, tmp_path: Path) -> None:
    pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    config, store = tmp_path / "config.toml", tmp_path / "store"
    config.write_text(refreshed.config.read_text() + '\n[run]\nrunner = "dask"\nworkers = 2\n')
    words = ("--inbox", refreshed.inbox, "--store", store, "--config", config)
    ran = cli("refresh", *words, "--json").json
    assert ran["published"]
    assert differences(contents(store), contents(refreshed.store)) == []


def test_dask_takes_nothing_without_the_certificate_of_the_run() -> None:
    pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    import distributed

    runner: Any = task_runner(Config.model_validate({"run": {"runner": "dask", "workers": 1}}))
    with runner:
        address = runner.client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert runner.client.submit(os.getpid).result(timeout=60) > 0
        for stranger in (address, address.replace("tls://", "tcp://")):
            with pytest.raises((OSError, TypeError, ValueError)):
                distributed.Client(stranger, timeout=5)
