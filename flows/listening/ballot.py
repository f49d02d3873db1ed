"""A blind ballot: pairs of sounds without names, in an order and on sides that each listener gets anew.

Whoever listens learns keys that mean nothing: which entry a sound is of stays in this process. Both sounds of a pair
are brought to the same loudness, because the louder one wins otherwise.
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
"""Sessions of one ballot."""
NAME = 60
"""Characters of a listener's name."""
Side = Literal["left", "right"]
SIDES = ("left", "right", "same")


@dataclass(frozen=True, eq=False)
class Pair:
    """One sentence, as both entries say it."""

    sentence: str
    text: str
    language: str
    sounds: Mapping[Literal["a", "b"], bytes] = field(repr=False)
    """FLAC, equally loud."""


@dataclass(frozen=True)
class _Trial:
    """A pair as one listener gets it."""

    pair: Pair
    left: Literal["a", "b"]
    order: int


class Ballot:
    """Hands out pairs and takes votes; may be asked by several threads."""

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
            raise ConfigError("no sentence was said by both entries: there is nothing to compare")
        self._pairs, self._about, self._keep, self._now, self._random = pairs, about, keep, now, random
        self._sounds: dict[str, bytes] = {}
        self._trials: dict[str, dict[str, _Trial]] = {}
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()
        self.votes = 0

    def begin(self, listener: str) -> dict[str, Any]:
        """A new session: its key, and what to show; nothing in it tells the entries apart.

        Raises:
            ConfigError: there were too many.
        """
        with self._lock:
            if len(self._trials) >= LISTENERS:
                raise ConfigError(f"{LISTENERS} listeners have begun: start `voicemill ab` again")
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
        """FLAC; None where there is none of this key."""
        return self._sounds.get(key)

    def vote(self, session: str, trial: str, side: str) -> None:
        """Take a vote: left, right or same.

        Raises:
            ConfigError: no such session, pair or side.
        """
        found = self._trials.get(session, {}).get(trial)
        if found is None or side not in SIDES:
            raise ConfigError("a vote names a session, a pair of it, and left, right or same")
        right: Choice = "b" if found.left == "a" else "a"
        choice: Choice = "same" if side == "same" else found.left if side == "left" else right
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
                    sentence=found.pair.sentence,
                    choice=choice,
                    left=found.left,
                    order=found.order,
                )
            )
            self.votes += 1


def pair_of(sentence: str, text: str, language: str, a: Wave, b: Wave) -> Pair:
    """Two waves, float32 [samples] at 32 kHz, as a pair of equal loudness."""
    gains = [_gain(wave) for wave in (a, b)]
    peak = max(float(np.abs(wave * gain).max(initial=0.0)) for wave, gain in zip((a, b), gains, strict=True))
    held = min(1.0, PEAK / peak) if peak else 1.0
    first, second = (_flac(wave * np.float32(gain * held)) for wave, gain in zip((a, b), gains, strict=True))
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
