"""Models by hub id or local folder: their place on this machine, their digest for content keys, and their download.

Nothing here downloads except `fetch`, which `voicemill models fetch` calls. Hub models live in `$VOICEMILL_MODELS`, or
where it is not set in the standard Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`), so downloads made by other programs
are found. The layout read is the documented one: `models--<org>--<name>/{refs/<revision>,snapshots/<commit>}`.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from voicemill.storage.errors import ModelMissing
from voicemill.storage.files import write_text
from voicemill.storage.keys import digest, file_digest

WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".onnx", ".ckpt", ".th"})
"""Suffixes of files of weights: a folder without any is not a model, or an incomplete one."""

_PROSE = frozenset({".md", ".gitattributes", ".png", ".jpg", ".jpeg", ".svg", ".lock", ".metadata"})
"""Suffixes of files that do not affect a model's output."""

_UNUSED = ("*.h5", "*.msgpack", "*.ot", "*.tflite", "*.mlmodel")
"""Weights of frameworks that voicemill does not use: `fetch` skips them."""


@dataclass(frozen=True)
class Name:
    """Name of a model in a setting: `org/name`, `name` or `org/name@revision`."""

    repo: str
    revision: str = "main"

    @classmethod
    def parse(cls, name: str) -> "Name":
        repo, _, revision = name.partition("@")
        return cls(repo, revision or "main")


def cache_folder() -> Path:
    """Folder of the models named by hub id: `$VOICEMILL_MODELS`, else the Hugging Face cache."""
    if folder := os.environ.get("VOICEMILL_MODELS"):
        return Path(folder).expanduser()
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def is_folder(name: str) -> bool:
    """Whether `name` means a local folder: it exists as one, or is written as a path (`./x`, `/x`, `~/x`, `a/b/c`)."""
    is_path = name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1
    return is_path or Path(name).is_dir()


def resolve(name: str, setting: str) -> Path:
    """Find the local folder of the model that `setting` names, without the network.

    Raises:
        ModelMissing: the name is empty; there is no such folder, or it holds no weights; or the cache lacks the model.
            The message names the setting, the folder looked in, and the command that fetches it.
    """
    if not name.strip():
        raise ModelMissing(f"{setting} is empty: give a hub id (org/name) or a local folder")
    if is_folder(name):
        folder = Path(name).expanduser().resolve()
        if not folder.is_dir():
            raise ModelMissing(
                f"{setting} = {name!r}: no folder {folder}. Give an existing one, or a hub id (org/name) and "
                "run `voicemill models fetch`"
            )
        if not has_weights(folder):
            raise ModelMissing(f"{setting} = {name!r}: {folder} holds no weights ({', '.join(sorted(WEIGHTS))})")
        return folder
    cache = cache_folder()
    snapshot = _snapshot(cache, Name.parse(name))
    if snapshot is None or not has_weights(snapshot):
        state = "is only partly in" if snapshot else "is not in"
        raise ModelMissing(
            f"{setting} = {name!r}: the model {state} {cache}, and nothing is downloaded automatically. "
            f"Run `voicemill models fetch {name}` where there is a network, or set {setting} to a local folder"
        )
    return snapshot


def has_weights(folder: Path) -> bool:
    """Whether any file under `folder` holds weights. A dangling link does not count."""
    return any(file.suffix in WEIGHTS and file.is_file() for file in folder.rglob("*"))


def _snapshot(cache: Path, name: Name) -> Path | None:
    root = cache / f"models--{name.repo.replace('/', '--')}"
    ref = root / "refs" / name.revision
    commit = ref.read_text().strip() if ref.is_file() else name.revision
    folder = root / "snapshots" / commit
    return folder if folder.is_dir() else None


def digest_of(path: Path, memory: Path | None = None) -> str:
    """sha256 (hex) over the names and bytes of a model's files (a folder, or one file); prose is left out.

    The digest of a file is cached under `memory` (default `~/.cache/voicemill/digests`) by path, size, inode and times,
    so a model of gigabytes is read once, not at every refresh. A cache that cannot be written is ignored.

    Raises:
        ModelMissing: there is no file of a model at `path`.
    """
    if path.is_file():
        return cached_file_digest(path, memory)
    files = sorted(f for f in path.rglob("*") if f.is_file() and _counts(f.relative_to(path)))
    if not files:
        raise ModelMissing(f"{path} holds no file of a model")
    return digest([[file.relative_to(path).as_posix(), cached_file_digest(file, memory)] for file in files])


def _counts(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and "__pycache__" not in relative.parts and relative.suffix.lower() not in _PROSE


def cached_file_digest(file: Path, memory: Path | None = None) -> str:
    """sha256 (hex) of a file, cached as in `digest_of`."""
    if memory is None:
        memory = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "voicemill" / "digests"
    real = file.resolve()
    state = real.stat()
    name = digest([str(real), state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns])
    note = memory / name
    try:
        known = note.read_text()
        if len(known) == 64:
            return known
    except OSError:
        pass
    value = file_digest(real)
    if real.stat().st_mtime_ns == state.st_mtime_ns:
        with contextlib.suppress(OSError):
            write_text(note, value)
    return value


def fetch(name: str) -> Path:
    """Download a model by hub id into the cache folder, with progress bars; the only function that uses the network.

    A local folder is returned as it is. Existing files are not downloaded again, and an interrupted download resumes
    where it stopped. Every file is compared with the digest that the hub announced; a file that differs is deleted.

    Raises:
        ModelMissing: the hub cannot be reached, does not know the model, or asks for a token; the download was
            interrupted, or brought other bytes than announced. The message says which, and what to do.
    """
    if is_folder(name):
        return resolve(name, "models fetch")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    model, cache = Name.parse(name), cache_folder()
    try:
        folder = snapshot_download(model.repo, revision=model.revision, cache_dir=cache, ignore_patterns=list(_UNUSED))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelMissing(f"{name!r} could not be fetched into {cache}: {_why(model, error)}") from error
    if damaged := [file for file in sorted(Path(folder).rglob("*")) if file.is_file() and not _is_as_announced(file)]:
        for file in damaged:
            file.resolve().unlink()
            file.unlink()
        raise ModelMissing(
            f"{name!r}: the bytes of {', '.join(file.name for file in damaged)} are not those that the hub announced, "
            "and were deleted. Run the command again; if it happens again, the hub or a proxy before it is broken"
        )
    if unfinished := list(Path(folder).parents[1].glob("blobs/*.incomplete")):
        # with the hub out of reach the library returns what is there, complete or not
        raise ModelMissing(
            f"{name!r} is only partly in {cache} ({len(unfinished)} files unfinished), and the hub cannot be reached. "
            "Run the command again where there is a network: it resumes where it stopped"
        )
    return Path(folder)


def _why(model: Name, error: Exception) -> str:
    """Cause of a failed download, and what to do."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{model.repo}"
    match error:
        case errors.GatedRepoError():
            return f"it is gated. Accept its terms at {page}, then set HF_TOKEN to a token of that account"
        case errors.RepositoryNotFoundError():
            return f"{constants.ENDPOINT} knows no such model. Check the name; for a private model set HF_TOKEN"
        case errors.RevisionNotFoundError():
            return f"it has no revision {model.revision!r}; {page} lists them"
        case errors.HFValidationError():
            return f"that is not a hub id (org/name): {error}"
        case errors.LocalEntryNotFoundError():
            return f"{constants.ENDPOINT} cannot be reached. Check the network, HF_ENDPOINT and HF_HUB_OFFLINE: {error}"
    return f"{type(error).__name__}: {error}. Check the network and run the command again: it resumes where it stopped"


def _is_as_announced(file: Path) -> bool:
    """Whether the bytes of a file of the cache have the digest by which the hub announced them: its stored name, which
    is the sha256 of a large file and git's sha1 of a small one. A name that is neither says nothing."""
    stored = file.resolve()
    if len(stored.name) == 64:
        return cached_file_digest(stored) == stored.name
    if len(stored.name) == 40:
        head = f"blob {stored.stat().st_size}\0".encode()
        return hashlib.sha1(head + stored.read_bytes(), usedforsecurity=False).hexdigest() == stored.name
    return True
