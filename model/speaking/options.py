"""Options of speech: everything but the voice and the text."""

import hashlib
from dataclasses import dataclass, field

from voicemill.model.s1.generate import MAX_CODES, Sampling
from voicemill.model.text.sentences import Cutting
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import Seconds

SPEEDS = (0.25, 4.0)


@dataclass(frozen=True)
class SpeakOptions:
    """Options of speech. Defaults: those of GPT-SoVITS v2."""

    language: str = "auto"
    """Language of the text: zh, en, ja, ko, yue (each may contain English words), or auto: by its characters."""
    speed: float = 1.0
    """Speed relative to the voice's own, 0.25 to 4."""
    noise_scale: float = 0.5
    """Scale of the noise in the latent, 0 to 2; 0 = the mean of the prior."""
    seed: int = 0
    """Seed, 0 to 2^63 - 1: the same text, voice, options and seed give the same samples on the same machine."""
    sampling: Sampling = field(default_factory=Sampling)
    cutting: Cutting = field(default_factory=Cutting)
    pause_s: Seconds = 0.3
    """Silence after each piece of the text, 0 to 5 s, where the text states none ([pause:0.5s])."""
    max_codes: int = MAX_CODES
    """Longest piece, in codes of 40 ms."""
    chunk_s: Seconds = 0.5
    """Length of the chunks of `stream`, 0.02 to 10 s."""
    look_ahead_s: Seconds | None = None
    """How far s2 reads the codes beyond what it renders, 0 to 10 s; None = to the end of the piece, as GPT-SoVITS does.
    With it a stream starts while s1 still speaks, and the speech differs a little from that without; see
    `voicemill.model.speaking.blocks`. Voices without codes ignore it."""
    watermark: int | None = 0
    """Payload of the quiet watermark, 0 to 65535; None = no mark."""

    def __post_init__(self) -> None:
        bounds = {
            "speed": (self.speed, *SPEEDS),
            "noise_scale": (self.noise_scale, 0.0, 2.0),
            "seed": (self.seed, 0, 2**63 - 1),
            "pause_s": (self.pause_s, 0.0, 5.0),
            "max_codes": (self.max_codes, 1, MAX_CODES),
            "chunk_s": (self.chunk_s, 0.02, 10.0),
            "look_ahead_s": (self.look_ahead_s or 0.0, 0.0, 10.0),
        }
        for name, (value, least, most) in bounds.items():
            if not least <= value <= most:
                raise ConfigError(f"{name} = {value}: expected {least} to {most}")
        if self.look_ahead_s is not None and self.speed != 1:
            raise ConfigError(
                f"look_ahead_s = {self.look_ahead_s} with speed = {self.speed}: another speed stretches a piece as a "
                "whole; leave one of them out"
            )

    def seed_of(self, piece: int) -> int:
        """Seed of one piece of the text: the sound of a piece does not depend on those before it."""
        digest = hashlib.sha256(f"{self.seed}/{piece}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1
