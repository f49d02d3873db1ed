"""Where evaluations write, by corpus version: speech and pages in `<store>/reports/version-3/`, figures in entries.

An evaluation that goes on while somebody is forgotten deletes what it wrote; one that is killed cannot. But nothing is
judged on a version again that held somebody who was forgotten: whatever names such a version is a leftover.
"""

from pathlib import Path

from voicemill.storage.files import erase_folder
from voicemill.storage.forgetting.erase import erase_evaluations
from voicemill.storage.forgetting.forget import forgotten
from voicemill.storage.store import Store


def folder(store: Store, version: int) -> Path:
    """What was said and shown of a corpus version; forgetting erases it with all reports."""
    return store.reports / f"version-{version}"


def sweep(store: Store) -> None:
    """Erase whatever evaluations left on corpus versions that held somebody who was forgotten, or is being. May run
    beside anything.

    Raises:
        StoreError: something of it is left.
    """
    gone = forgotten(store)
    for version in sorted(gone):
        erase_folder(folder(store, version))
    if gone:
        erase_evaluations(store, gone, unsaid=False)
