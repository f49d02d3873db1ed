"""Votes of listeners on two entries of a voice: `<store>/votes/<voice>/<a>-<b>.jsonl`, a line each, only ever added to.

A line is written at once and under a lock; a reader passes over a last line that was cut off by a crash. Later votes of
the same listener on the same sentence replace earlier ones when they are counted; the lines stay.

They stay, too, when a speaker of the sentences is forgotten: a line holds no word and no sound. A sentence is named by
the beginning of a sha256 of the recording's bytes, or of a text of whoever asked, and a test set by a sha256: neither
gives back a name or words, and only who has the recording can tell that it was used. The voice may bear the speaker's
name, as its folder among the models does: the receipt of forgetting lists such files (`mentions`). The name that a
listener gave stands here and nowhere else: to forget a listener is to delete the lines (README, Judging).
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from voicemill.storage.errors import ConfigError
from voicemill.storage.files import append_line
from voicemill.storage.store import Store
from voicemill.storage.voices.registry import check_name

Choice: TypeAlias = Literal["a", "b", "same"]
CHOICES: tuple[Choice, ...] = get_args(Choice)


@dataclass(frozen=True)
class Vote:
    """What one listener said of one pair of sounds."""

    time: str
    """ISO 8601."""
    listener: str
    """The name of the session: whatever the listener gave, or "anonymous-..." ."""
    voice: str
    a: int
    b: int
    """Entries."""
    testset: str
    """sha256."""
    sentence: str
    choice: Choice
    left: Literal["a", "b"]
    """Which of them stood on the left."""
    order: int
    """How many pairs the listener was given before, in this session."""


def path_of(store: Store, voice: str, a: int, b: int) -> Path:
    """Where the votes on two entries are; the smaller number first in the name."""
    first, second = sorted((a, b))
    return store.root / "votes" / check_name(voice) / f"{first:04d}-{second:04d}.jsonl"


def append(store: Store, vote: Vote) -> None:
    """Add one vote.

    Raises:
        ConfigError: another choice, or an entry that is compared with itself.
    """
    if vote.choice not in CHOICES or vote.left not in ("a", "b") or vote.a == vote.b:
        raise ConfigError(f"{vote}: a choice is {', '.join(CHOICES)}, and two entries are compared")
    path = path_of(store, vote.voice, vote.a, vote.b)
    append_line(path, json.dumps(asdict(vote), ensure_ascii=False))


def history(store: Store, voice: str, a: int, b: int) -> list[Vote]:
    """All votes on two entries, oldest first; `choice` and `left` are told as of this `a` and `b`."""
    path = path_of(store, voice, a, b)
    found = [_read(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [vote if (vote.a, vote.b) == (a, b) else turned(vote) for vote in found if vote is not None]


def counted(votes: Iterable[Vote]) -> list[Vote]:
    """The last one of each listener on each sentence of a test set."""
    return list({(vote.listener, vote.testset, vote.sentence): vote for vote in votes}.values())


def turned(vote: Vote) -> Vote:
    """The same vote with a and b changed over."""
    other: dict[str, Choice] = {"a": "b", "b": "a", "same": "same"}
    left: Literal["a", "b"] = "b" if vote.left == "a" else "a"
    return Vote(**asdict(vote) | {"a": vote.b, "b": vote.a, "choice": other[vote.choice], "left": left})


def _read(line: bytes) -> Vote | None:
    try:
        return Vote(**json.loads(line))
    except (ValueError, TypeError):
        return None
