"""Secret of the private server, and the settings by which the server and its clients receive it.

Every user of the machine reaches a port on loopback, and so does every page that a browser of this machine shows. The
secret lies in `<store>/prefect/.secret`, which its owner alone can read, and goes from process to process by
environment: command lines are visible to all users. `door.py` checks it in the server.

A new server of a store gets a new secret, so that what a browser remembers of an old one is worth nothing to a process
that takes over its port. While `voicemill up` runs, the secret stays: workers and flow runs hold it.
"""

import html
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from voicemill.flows.service.environment import direct_loopback
from voicemill.storage.errors import ServerError
from voicemill.storage.files import whole_file
from voicemill.storage.store import Store

HOST = "127.0.0.1"
NAME = ".secret"
ENTRY = "/voicemill/enter"
"""Path of the server that takes the secret from a form."""
USER = "voicemill"
"""User name of the basic authentication; the secret is the pair `user:password`, as Prefect has it."""
SECRET_BYTES = 32
HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""Setting of every process that runs a flow: `automations.json` calls a run crashed 90 s after its last heartbeat."""


def secret_file(store: Store) -> Path:
    """File of the secret."""
    return store.prefect / NAME


def renew_secret(store: Store) -> None:
    """Write a new secret, readable by its owner alone."""
    _write_private(secret_file(store), f"{USER}:{secrets.token_urlsafe(SECRET_BYTES)}\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file whole that its owner alone can read, from its first byte on."""
    with whole_file(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)


def read_secret(store: Store) -> str:
    """Secret of the store's server, `user:password`.

    Raises:
        ServerError: it cannot be read: the server belongs to another user.
    """
    path = secret_file(store)
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ServerError(
            f"the private Prefect server of {store.root} runs, and its secret {path} cannot be read ({error}). Run the "
            "command as the user who started the server, or set PREFECT_API_URL to a server of all users"
        ) from error
    if not secret:
        raise ServerError(f"{path} is empty. Stop what uses the store (voicemill down), and run the command again")
    return secret


def own_origin(port: int) -> str:
    """Origin of the server, which is the only one that pages may have."""
    return f"http://{HOST}:{port}"


def private_settings(store: Store, port: int) -> dict[str, str]:
    """Environment of the private server and of its clients.

    Raises:
        ServerError: the secret cannot be read.
    """
    secret = read_secret(store)
    return {
        "PREFECT_HOME": str(store.prefect),
        "PREFECT_API_URL": f"{own_origin(port)}/api",
        "PREFECT_API_AUTH_STRING": secret,
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        # the dashboard calls this address, not the one it was loaded from
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": own_origin(port),
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # on the disk, since a run ends when its server has forgotten the lease of its slot
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",  # else a queued run is tried twice a minute
        "DO_NOT_TRACK": "1",
        **direct_loopback(),
        **_files_of_pages(),
        **HEARTBEAT,
    }


def _files_of_pages() -> dict[str, str]:
    """Where the server writes the files of its pages, 17 MB, at its first start: beside Prefect, which is the default.

    In the user's cache, where another user owns the installation, or has written them for that user alone.
    """
    if "PREFECT_UI_STATIC_DIRECTORY" in os.environ:
        return {}
    spec = find_spec("prefect")
    place = Path(spec.origin).parent / "server" if spec and spec.origin else Path()
    written = [folder for name in ("ui_build", "ui_v2_build") if (folder := place / name).exists()]
    if all(os.access(folder, os.R_OK | os.W_OK | os.X_OK) for folder in (place, *written)):
        return {}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "voicemill" / "prefect-pages"
    return {"PREFECT_UI_STATIC_DIRECTORY": str(cache)}


def is_private(store: str | Path) -> bool:
    """Whether this process is a client of the private server of the store at this path."""
    return os.environ.get("PREFECT_HOME") == str(Path(store) / "prefect")


def entry_form(secret: str, url: str) -> str:
    """HTML of a page that posts the secret to the entry of the server at `url` as soon as it is opened."""
    return f"""<!doctype html><meta charset="utf-8"><title>voicemill</title>
<form method="post" action="{html.escape(url)}{ENTRY}"><input type="hidden" name="secret" value="{html.escape(secret)}">
<noscript><button>Open the dashboard</button></noscript></form><script>document.forms[0].submit()</script>
"""


@contextmanager
def entry_page(store: Store, url: str) -> Iterator[Path | None]:
    """Yield a file for the browser that enters the dashboard at `url` without a question, and remove it at the end.

    A form that sends itself, in a file that its owner alone can read: the address of a page is visible on the command
    line of the browser and stays in its history. None: the server is that of PREFECT_API_URL, and not ours.
    """
    if not is_private(store.root):
        yield None
        return
    path = store.prefect / f".enter-{os.getpid()}.html"
    _write_private(path, entry_form(read_secret(store), url))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
