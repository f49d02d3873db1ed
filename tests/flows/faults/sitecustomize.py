"""Put on PYTHONPATH of a command: makes chosen stages break on chosen uploads, in it and in every process it starts.

`VOICEMILL_FAULTS` is a JSON list of [module, function, what, sha256 of an upload, marker]. The function of the module
is wrapped when the module is imported: a call that is given the upload raises an error (what = raise), kills its
process (kill), or says so by making the file `marker` and waits until there is a file `marker.go` (wait).
`VOICEMILL_LIMIT` limits the size of every file that is written, in bytes: writing fails, as on a full disk.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FAULTS = json.loads(os.environ.get("VOICEMILL_FAULTS", "[]"))


def names(argument: Any, upload: str) -> bool:
    """Whether an argument is the upload, or a record of it."""
    if isinstance(argument, tuple | list):
        return any(names(item, upload) for item in argument)
    if isinstance(argument, str):
        return argument == upload
    return upload in (getattr(argument, "sha256", ""), getattr(argument, "upload", ""))


def broken(name: str, function: Callable[..., Any], what: str, upload: str, marker: str) -> Callable[..., Any]:
    """The function, but for one upload; other stages that import it get the true one."""

    def call(*args: Any, **named: Any) -> Any:
        mine = sys._getframe(1).f_globals["__name__"] in (name, "voicemill.tasks.contract.stage")
        if mine and any(names(argument, upload) for argument in (*args, *named.values())):
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "raise":
                raise RuntimeError("this upload is cursed")
            Path(marker).touch()
            while not Path(f"{marker}.go").exists():
                time.sleep(0.05)
        return function(*args, **named)

    return call


class Breaker(MetaPathFinder):
    """Finds the modules to break as usual, and breaks them once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        faults = [fault for fault in FAULTS if fault[0] == name]
        spec = PathFinder.find_spec(name, path, target) if faults else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_break(module: ModuleType) -> None:
            load(module)
            for _, function, what, upload, marker in faults:
                setattr(module, function, broken(name, getattr(module, function), what, upload, marker))

        spec.loader.exec_module = load_and_break  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Breaker())

if "VOICEMILL_LIMIT" in os.environ:
    import resource

    limit = int(os.environ["VOICEMILL_LIMIT"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
