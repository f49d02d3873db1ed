"""The address of a Delta table that delta-rs reads as it is meant, whatever characters the store's path has.

delta-rs takes a path for a URL and decodes it, once in one place and twice in another: `a%20b` becomes `a b`, a
backslash a slash, and a control character an error. Links are resolved first, and a `file://` URL ends the same way.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

LOG = "_delta_log"
CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
"""Settings of every table: its log is kept whole, since corpus versions pin old commits."""


@contextmanager
def delta_root(root: Path) -> Iterator[str]:
    """Yield the address of the table at `root`, for the time of the block.

    It is the path itself, or, where delta-rs would read another one, a temporary folder with a link to the log. The log
    is all that delta-rs reads and writes here: the shards are ours.
    """
    text = str(root)
    if unquote(text) == text and "\\" not in text and text.isprintable():
        yield text
        return
    (root / LOG).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="voicemill-table-") as folder:
        (Path(folder) / LOG).symlink_to((root / LOG).resolve(), target_is_directory=True)
        yield folder
