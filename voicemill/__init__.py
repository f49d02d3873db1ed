"""Speaker corpora for voice cloning, refreshed every month, and the voices that are trained on them.

The four packages below this one lie at the top of the repository, as `flows`, `tasks`, `model` and `storage`; the links
beside this file give them the one import name that does not collide with a user's own code. Names are imported when
they are first used, so that `import voicemill` costs nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voicemill.model.speaking.loading import load_voice
    from voicemill.model.speaking.options import SpeakOptions
    from voicemill.storage.corpus.versions import CorpusVersion
    from voicemill.storage.store import Store

    __version__: str

__all__ = ["CorpusVersion", "SpeakOptions", "Store", "__version__", "load_voice"]

_HOMES = {
    "CorpusVersion": "voicemill.storage.corpus.versions",
    "SpeakOptions": "voicemill.model.speaking.options",
    "Store": "voicemill.storage.store",
    "load_voice": "voicemill.model.speaking.loading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("voicemill")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
