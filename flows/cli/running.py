"""Steps that commands share: open the store, run a flow in this process, print its result for a person or as JSON."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

if TYPE_CHECKING:
    from voicemill.model.training.engine.run import Progress
    from voicemill.storage.store import Store


class Result(Protocol):
    """Return value of a flow."""

    def as_json(self) -> dict[str, Any]: ...


Options = TypeVar("Options")
Outcome = TypeVar("Outcome", bound=Result)
Settings = TypeVar("Settings")


def open_store(folder: str, *, create: bool = False) -> "Store":
    """The store in `folder`; `create` makes one in a new or empty folder.

    Raises:
        StoreError: the folder is no store.
    """
    from voicemill.storage.store import Store

    return Store.open(folder, create=create)


def run_here(
    store: "Store",
    load: Callable[[], Callable[[Options], Outcome]],
    options: Options,
    show: Callable[[Outcome], None],
    *,
    as_json: bool,
    bar: AbstractContextManager[None] | None = None,
) -> Outcome:
    """Run a flow in this process, with a private server where no other is configured, and print its result.

    `load` imports and returns the flow: it is called while the server starts, after Prefect's settings are made. `bar`
    is entered while the flow runs.
    """
    from voicemill.flows.service.client import prefect_api

    with prefect_api(store, load), bar or nullcontext():
        result = load()(options)
    if as_json:
        print_json(result.as_json())
    else:
        show(result)
    return result


def preload_tables() -> None:
    """Import what the tables need: to be called while the server starts, or the flow would import it after that."""
    import deltalake  # noqa: F401
    import pandas  # noqa: F401  (pyarrow imports it for its first array)


def print_json(value: object, file: TextIO | None = None) -> None:
    """Print one line of JSON, which is all that a command with --json writes to stdout."""
    print(json.dumps(value, ensure_ascii=False), file=file)


def checked(settings: type[Settings], **values: object) -> Settings:
    """Settings of these values.

    Raises:
        ConfigError: a value is out of range; one line names all of them.
    """
    from pydantic import ValidationError

    from voicemill.storage.errors import ConfigError

    try:
        return settings(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(problems) from error


def plain_warnings() -> None:
    """Print warnings as messages of the command, without the file and line of our source."""
    warnings.formatwarning = lambda message, *_, **__: f"voicemill: {message}\n"


def interactive(*, as_json: bool) -> bool:
    """Whether a person watches the terminal, so that a progress bar makes sense."""
    return not as_json and sys.stderr.isatty()


@contextmanager
def training_bars(*, as_json: bool) -> Iterator[None]:
    """A progress bar with the loss for each training that runs in the block, if a person watches."""
    if not interactive(as_json=as_json):
        yield
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from voicemill.flows.display.terminal import errors
    from voicemill.flows.display.training import total, watchers

    columns = (TextColumn("{task.description:<34}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=errors) as bar:
        tasks = {"": bar.add_task("preparing", total=None)}

        def update(title: str, progress: "Progress") -> None:
            bar.update(tasks[""], visible=False)
            if title not in tasks:
                tasks[title] = bar.add_task(title)
            description = f"{title}: loss {total(progress):.4g}"
            bar.update(tasks[title], total=progress.steps, completed=progress.step, description=description)

        watchers.append(update)
        try:
            yield
        finally:
            watchers.remove(update)
