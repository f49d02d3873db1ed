"""The versions of everything that decides how a voice sounds: the key of speech beside weights, text and options.

A version changes with the output, not with the source, so a comment or a renaming makes no voice speak again. Each
stands in the `__init__` of its room (`voicemill.model.s1.VERSION`) and is raised by the commit that changes the output;
the golden tests show when that is. Nothing here imports torch.
"""

from importlib.metadata import version as package_version

from voicemill.model import export, light, s1, s2, speaking
from voicemill.model.audio import watermark
from voicemill.model.text.versions import VERSIONS as TEXT
from voicemill.storage.keys import digest


def speech_versions() -> dict[str, int]:
    """Return the version of each part of the speaking code."""
    rooms = {
        "s1": s1.VERSION,
        "s2": s2.VERSION,
        "light": light.VERSION,
        "export": export.VERSION,
        "speaking": speaking.VERSION,
        "watermark": watermark.VERSION,
    }
    return rooms | {f"text/{part}": version for part, version in TEXT.items()}


def speech_key() -> str:
    """Return sha256 (hex) of `speech_versions`: with it, the same weights, text and options give the same speech."""
    return digest(speech_versions())


def code_version() -> str:
    """Return the version of voicemill and 12 hex digits of `speech_key`: the `code` of cards and evaluations."""
    return f"{package_version('voicemill')}+{speech_key()[:12]}"
