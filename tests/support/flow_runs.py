"""Flow runs of a real server without workers, moved from state to state by a test."""

from typing import Any

from prefect.client.orchestration import SyncPrefectClient

from support.prefect_server import ask


class Runs:
    """Flow runs of a deployment that takes one run at a time, moved from state to state as workers do.

    It has a work pool of its own: the reconciler looks at all runs of a pool.
    """

    def __init__(self, api: str, client: SyncPrefectClient, name: str) -> None:
        self.api, self.client, self.pool = api, client, name
        ask(api, "work_pools/", name=name, type="process")
        flow = ask(api, "flows/", name=f"recovery {name}")["id"]
        self.deployment = ask(
            api,
            "deployments/",
            name=name,
            flow_id=flow,
            work_pool_name=name,
            concurrency_limit=1,
            concurrency_options={"collision_strategy": "ENQUEUE"},
            enforce_parameter_schema=False,
        )["id"]

    def start(self, **parameters: Any) -> str:
        """Id of a new run of the deployment."""
        run: str = ask(self.api, f"deployments/{self.deployment}/create_flow_run", parameters=parameters)["id"]
        return run

    def move(self, run: str, *states: str, message: str = "") -> str:
        """Propose states one after the other; name of the last that the server accepted or gave instead."""
        for state in states:
            body = {"type": state, "message": message}
            answer = ask(self.api, f"flow_runs/{run}/set_state", state=body)
        name: str = (answer["state"] or {}).get("name", answer["status"])
        return name

    def all(self) -> list[dict[str, Any]]:
        """Runs of the deployment, oldest first."""
        runs = ask(self.api, "flow_runs/filter", deployments={"id": {"any_": [self.deployment]}})
        return sorted(runs, key=lambda run: run["created"])
