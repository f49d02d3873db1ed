"""The versions of everything that decides how a voice sounds: the key of speech beside weights, text and options.

A version is a number that changes with the output, not with the source, so a comment or a renaming makes no voice speak
again. Each stands in the room it is about (`voicemill.model.s1.VERSION`) and is bumped by the commit that changes what
is heard; the tests of the recorded outputs say when that is. Nothing here imports torch.
"""

from importlib.metadata import version as package_version

from voicemill.model import export, light, s1, s2, speaking
from voicemill.model.audio import watermark
from voicemill.model.text.versions import VERSIONS as TEXT
from voicemill.storage.keys import digest


def speech_versions() -> dict[str, int]:
    """Part of the speaking code -> its version."""
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
    """sha256 (hex) of `speech_versions`: the same key means the same speech from the same weights, text and options."""
    return digest(speech_versions())


def code_version() -> str:
    """Version of voicemill and the first 12 hex digits of `speech_key`: the `code` of cards and evaluations."""
    return f"{package_version('voicemill')}+{speech_key()[:12]}"
