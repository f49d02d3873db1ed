"""Cards of entries and of their trainings with plain defaults; no weights, and no torch."""

from dataclasses import replace
from typing import Any

from voicemill.storage.voices.cards import Card, Training

WHEN = "2025-01-01T00:00:00+00:00"
_TRAINING = Training(
    network="s2",
    phase="finetune",
    adapt="full",
    outcome="finished",
    detail="",
    steps=1,
    best_step=1,
    best=None,
    losses={},
    seconds=1.0,
    folder="run",
)
_CARD = Card(
    voice="ann",
    corpus_version=1,
    recipe="r" * 64,
    speakers=("ann",),
    trainings=(),
    config="c" * 64,
    base={},
    content="mfcc",
    code="0.1",
    created=WHEN,
)


def make_training(**changes: Any) -> Training:
    """A finished training of s2, one step long; keywords replace fields."""
    return replace(_TRAINING, **changes)


def make_card(**changes: Any) -> Card:
    """A card of ann's voice without trainings; keywords replace fields."""
    return replace(_CARD, **changes)
