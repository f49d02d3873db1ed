"""Votes of listeners on two entries of a voice: `<store>/votes/<voice>/<a>-<b>.jsonl`, one line each, append-only.

A line is written at once and under a lock; a reader passes over a last line that was cut off by a crash. A later vote
of the same listener on the same sentence replaces an earlier one when votes are counted; the lines stay.

They also stay when a speaker of the sentences is forgotten: a line holds no word and no sound. A sentence is named by
the beginning of a sha256 of the recording's bytes, or of a text that the person who ran the test gave, and a test set
by a sha256: neither gives back a name or words, and only an owner of the recording can tell that it was used. The voice
may bear the speaker's name, as its folder among the models does: the receipt of forgetting lists such files
(`mentions`). The name that a listener gave is stored here and nowhere else: to forget a listener, delete the lines.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from voicemill.storage.errors import ConfigError
from voicemill.storage.files import append_line
from voicemill.storage.store import Store
from voicemill.storage.voices.cards import check_voice_name

Choice: TypeAlias = Literal["a", "b", "same"]
CHOICES: tuple[Choice, ...] = get_args(Choice)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """Choice of one listener between two sounds of one sentence."""

    time: str
    """ISO 8601."""
    listener: str
    """Name of the session: what the listener gave, or "anonymous-...".
    """
    voice: str
    a: int
    b: int
    """Numbers of the entries."""
    testset: str
    """sha256."""
    sentence: str
    choice: Choice
    left: Literal["a", "b"]
    """Entry that was shown on the left."""
    order: int
    """Number of pairs the listener was given before, in this session."""


def path_of(store: Store, voice: str, a: int, b: int) -> Path:
    """Path of the votes on two entries; the smaller number first in the name."""
    first, second = sorted((a, b))
    return store.root / "votes" / check_voice_name(voice) / f"{first:04d}-{second:04d}.jsonl"


def append(store: Store, vote: Vote) -> None:
    """Append one vote; on the disk when this returns.

    Raises:
        ConfigError: the choice is none of CHOICES, or an entry is compared with itself.
    """
    if vote.choice not in CHOICES or vote.left not in ("a", "b") or vote.a == vote.b:
        raise ConfigError(f"{vote}: a choice is one of {', '.join(CHOICES)}, and two different entries are compared")
    append_line(path_of(store, vote.voice, vote.a, vote.b), json.dumps(asdict(vote), ensure_ascii=False))


def history(store: Store, voice: str, a: int, b: int) -> list[Vote]:
    """All votes on two entries, oldest first; `choice` and `left` refer to this `a` and `b`."""
    path = path_of(store, voice, a, b)
    votes = [_read(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [vote if (vote.a, vote.b) == (a, b) else swapped(vote) for vote in votes if vote is not None]


def latest_votes(votes: Iterable[Vote]) -> list[Vote]:
    """The last vote of each listener on each sentence of a test set."""
    return list({(vote.listener, vote.testset, vote.sentence): vote for vote in votes}.values())


def swapped(vote: Vote) -> Vote:
    """The same vote with a and b exchanged."""
    other: dict[str, Choice] = {"a": "b", "b": "a", "same": "same"}
    left: Literal["a", "b"] = "b" if vote.left == "a" else "a"
    return Vote(**asdict(vote) | {"a": vote.b, "b": vote.a, "choice": other[vote.choice], "left": left})


def _read(line: bytes) -> Vote | None:
    try:
        return Vote(**json.loads(line))
    except (ValueError, TypeError):
        return None
