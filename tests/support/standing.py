"""A store that is up, as tests use it: commands, runs of its server, and its processes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.prefect_server import ask
from voicemill.flows.service import up
from voicemill.flows.service.recovery import processes
from voicemill.storage.store import Store


@dataclass(frozen=True)
class Standing:
    """A store that is up, and the commands that a test gives it."""

    cli: Any
    folder: Path
    speaker: str = "ann"
    """Speaker whose voice is trained."""

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def store(self) -> Store:
        return Store.open(self.folder / "store", create=True)

    @property
    def options(self) -> list[str]:
        """Options of `up`."""
        words = ["--store", self.store.root, "--inbox", self.inbox, "--training-config", self.folder / "training.toml"]
        return [*map(str, words), "--speaker", self.speaker]

    def start(self) -> up.State:
        """Run `up`, which starts what does not run yet; returns the state."""
        self.cli("up", *self.options, "--json")
        state = up.read_state(self.store)
        assert state is not None
        return state

    @property
    def state(self) -> up.State:
        state = up.read_state(self.store)
        assert state is not None
        return state

    @property
    def api(self) -> str:
        return f"{self.state.url}/api"

    def upload(self, *files: Path, speaker: str = "ann", status: int = 0) -> Any:
        where = ["--speaker", speaker, "--inbox", self.inbox, "--store", self.store.root]
        return self.cli("upload", *files, *where, "--json", status=status).json

    def runs(self, deployment: str, *states: str) -> list[dict[str, Any]]:
        """Flow runs of a deployment, oldest first."""
        flow, _, name = deployment.partition("/")
        body: dict[str, Any] = {
            "flows": {"name": {"any_": [flow]}},
            "deployments": {"name": {"any_": [name]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        if states:
            body["flow_runs"] = {"state": {"type": {"any_": list(states)}}}
        found: list[dict[str, Any]] = ask(self.api, "flow_runs/filter", **body)
        return found

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cli("versions", "--store", self.store.root, "--json").json
        return found

    def processes(self) -> list[int]:
        return [process.pid for process in processes.find_processes(self.store)]


def until(what: Callable[[], Any], limit: float = 900.0) -> Any:
    """Wait until a condition is true; returns its value."""
    end = time.monotonic() + limit
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.25)
    assert found, "it did not become true"
    return found
