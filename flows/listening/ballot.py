"""A blind ballot: pairs of sounds without names, in an order and on sides drawn anew for each listener.

Listeners get random keys; which entry a sound belongs to stays in this process. Both sounds of a pair are brought to
the same loudness, because otherwise the louder one wins.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

import numpy as np

from voicemill.model.audio.loudness_meter import FLOOR, Meter
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE, Lufs
from voicemill.storage.voices.notice import Notice
from voicemill.storage.voices.votes import Choice, Vote

LOUDNESS: Lufs = -23.0
PEAK = 0.98
LISTENERS = 1000
"""Limit of sessions of one ballot."""
NAME = 60
"""Length limit of a listener's name, characters."""
Side = Literal["left", "right"]
SIDES = ("left", "right", "same")


@dataclass(frozen=True, eq=False)
class Pair:
    """One sentence as both entries speak it."""

    sentence: str
    text: str
    language: str
    sounds: Mapping[Literal["a", "b"], bytes] = field(repr=False)
    """Entry -> FLAC, both equally loud."""


@dataclass(frozen=True)
class _Trial:
    """A pair as it is presented to one listener."""

    pair: Pair
    left: Literal["a", "b"]
    order: int


class Ballot:
    """Hand out pairs and take votes; safe to call from several threads."""

    def __init__(
        self,
        pairs: list[Pair],
        about: tuple[str, int, int, str],
        keep: Callable[[Vote], None],
        now: Callable[[], str],
        random: np.random.Generator,
    ) -> None:
        """`about`: voice, entries a and b, sha256 of the test set. `keep` stores a vote.

        Raises:
            ConfigError: there is no pair.
        """
        if not pairs:
            raise ConfigError("both entries speak no sentence in common: nothing to compare")
        self._pairs, self._about, self._keep, self._now, self._random = pairs, about, keep, now, random
        self._sounds: dict[str, bytes] = {}
        self._trials: dict[str, dict[str, _Trial]] = {}
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()
        self.votes = 0

    def begin(self, listener: str) -> dict[str, Any]:
        """Begin a session; returns its key and the trials to show, in which nothing tells the entries apart.

        Raises:
            ConfigError: the limit of sessions is reached.
        """
        with self._lock:
            if len(self._trials) >= LISTENERS:
                raise ConfigError(f"{LISTENERS} listeners have begun, which is the limit: restart `voicemill ab`")
            session, trials, shown = secrets.token_urlsafe(16), dict[str, _Trial](), []
            self._names[session] = " ".join(listener.split())[:NAME] or f"anonymous-{secrets.token_hex(4)}"
            for order, number in enumerate(self._random.permutation(len(self._pairs)).tolist()):
                pair, left = self._pairs[number], "ab"[int(self._random.integers(2))]
                trial = _Trial(pair, left, order)  # type: ignore[arg-type]  # one of two letters
                key, keys = secrets.token_urlsafe(16), [secrets.token_urlsafe(16) for _ in range(2)]
                trials[key] = trial
                right: Literal["a", "b"] = "b" if trial.left == "a" else "a"
                self._sounds |= {keys[0]: pair.sounds[trial.left], keys[1]: pair.sounds[right]}
                words = {"text": pair.text, "language": pair.language}
                shown.append({"key": key, "left": keys[0], "right": keys[1], **words})
            self._trials[session] = trials
            return {"session": session, "trials": shown}

    def sound(self, key: str) -> bytes | None:
        """FLAC of a key; None where the key is unknown."""
        return self._sounds.get(key)

    def vote(self, session: str, trial: str, side: str) -> None:
        """Take a vote: left, right or same.

        Raises:
            ConfigError: no such session, pair or side.
        """
        presented = self._trials.get(session, {}).get(trial)
        if presented is None or side not in SIDES:
            raise ConfigError("expected a session, a pair of it, and left, right or same")
        right: Choice = "b" if presented.left == "a" else "a"
        choice: Choice = "same" if side == "same" else presented.left if side == "left" else right
        voice, a, b, testset = self._about
        name = self._names[session]
        with self._lock:
            self._keep(
                Vote(
                    time=self._now(),
                    listener=name,
                    voice=voice,
                    a=a,
                    b=b,
                    testset=testset,
                    sentence=presented.pair.sentence,
                    choice=choice,
                    left=presented.left,
                    order=presented.order,
                )
            )
            self.votes += 1


def pair_of(sentence: str, text: str, language: str, a: Wave, b: Wave) -> Pair:
    """Two waves, float32 [samples] at 32 kHz, as a pair of equal loudness."""
    gains = [_gain(wave) for wave in (a, b)]
    peak = max(float(np.abs(wave * gain).max(initial=0.0)) for wave, gain in zip((a, b), gains, strict=True))
    limit = min(1.0, PEAK / peak) if peak else 1.0
    first, second = (_flac(wave * np.float32(gain * limit)) for wave, gain in zip((a, b), gains, strict=True))
    return Pair(sentence, text, language, {"a": first, "b": second})


def _gain(wave: Wave) -> float:
    meter = Meter()
    meter.push(wave)
    loudness = meter.integrated()
    return 1.0 if loudness <= FLOOR else float(10 ** ((LOUDNESS - loudness) / 20))


def _flac(wave: Wave) -> bytes:
    import soundfile

    buffer = BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        file.comment = Notice().comment
        file.write(wave)
    return buffer.getvalue()
