"""Parts of a run's page in the Prefect dashboard that all flows share: its name, tags, log, summary and final state.

Image artifacts take a URL only and browsers refuse file:// links, so reports are named by path and by the command that
opens them.
"""

import time
from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed

from voicemill.flows.display.result import FlowResult
from voicemill.flows.report import markdown

R = TypeVar("R", bound=FlowResult)


def name_run(name: str, tags: list[str]) -> None:
    """Rename and tag the current flow run; what it works on is known only after it started."""
    with get_client(sync_client=True) as client:
        tags = sorted({*flow_run.tags, *map(markdown.name, tags)})
        client.update_flow_run(flow_run.id, name=markdown.name(name), tags=tags)


def tag_run(tag: str) -> None:
    """Add a tag to the current flow run."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=sorted({*client.read_flow_run(flow_run.id).tags, tag}))


def log(message: str) -> None:
    """Add a line to the log of the current flow run."""
    get_run_logger().info(message)


def run_address() -> str:
    """URL of the current flow run in the dashboard."""
    return f"{PREFECT_API_URL.value().removesuffix('/api')}/v2/runs/flow-run/{flow_run.id}"


def show_markdown(key: str, text: str, description: str) -> None:
    """Add a Markdown artifact to the page of the current run; what `text` has from outside is escaped already."""
    create_markdown_artifact(markdown=text, key=key, description=markdown.text(description))


def show_table(key: str, rows: Iterable[Mapping[str, object]], description: str) -> None:
    """Add a table to the page of the current run; strings of its cells are shown as they are."""
    create_table_artifact(table=[markdown.cells(row) for row in rows], key=key, description=markdown.text(description))


def complete(result: FlowResult, began: float) -> None:
    """Fill in the run's address and duration. `began`: `time.perf_counter()` at the start of the flow."""
    result.run, result.wall_s = run_address(), round(time.perf_counter() - began, 2)


def end_in(name: str, message: str, result: R) -> R:
    """Return a Completed state of another name, to be returned by the flow; its caller receives `result`."""
    return cast(R, Completed(name=name, message=message, data=result))
