"""A flow that a command runs here and now, and prints the result of."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from voicemill.model.training.engine.run import Progress
    from voicemill.storage.store import Store


class Result(Protocol):
    """What a flow returns."""

    def as_json(self) -> dict[str, Any]: ...


Options = TypeVar("Options")
Found = TypeVar("Found", bound=Result)


def run_here(
    store: "Store",
    load: Callable[[], Callable[[Options], Found]],
    options: Options,
    show: Callable[[Found], None],
    *,
    as_json: bool,
    bar: AbstractContextManager[None] | None = None,
) -> Found:
    """Run the flow that `load` imports, beside a server that may have to start, and print what came of it.

    `load` is called when Prefect knows its server, not before; `bar` stands while the flow runs.
    """
    from voicemill.flows.service.server import prefect_api

    with prefect_api(store, load), bar or nullcontext():
        result = load()(options)
    if as_json:
        print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        show(result)
    return result


def watched(*, as_json: bool) -> bool:
    """Whether a person looks on, for whom there is a bar."""
    return not as_json and sys.stderr.isatty()


@contextmanager
def training_bars(*, shown: bool) -> Iterator[None]:
    """A bar for each training, with its loss, while it runs."""
    if not shown:
        yield
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from voicemill.flows.display.terminal import errors
    from voicemill.flows.display.training import total, watchers

    columns = (TextColumn("{task.description:<34}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=errors) as bar:
        tasks = {"": bar.add_task("deciding", total=None)}

        def update(title: str, progress: "Progress") -> None:
            bar.update(tasks[""], visible=False)
            if title not in tasks:
                tasks[title] = bar.add_task(title)
            said = f"{title}: loss {total(progress):.4g}"
            bar.update(tasks[title], total=progress.steps, completed=progress.step, description=said)

        watchers.append(update)
        try:
            yield
        finally:
            watchers.remove(update)
