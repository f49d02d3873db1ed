"""Entries of a voice with random weights and the files that a training leaves."""

from pathlib import Path

from support.model_cards import make_card, make_training
from support.tiny_voice import SPEAKING_S1, SPEAKING_S2, write_s1, write_s2
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry, Kind


def add_entry(store: Store, folder: Path, voice: str, prefix: str, kind: Kind = "trained", parent: str = "") -> Entry:
    """Add an entry with the tiny s1 and s2 that read MFCC; `prefix` decides the weights of s1."""
    weights = {"s1": write_s1(folder / f"{prefix}s1.safetensors", SPEAKING_S1, prefix)}
    weights["s2"] = write_s2(folder / f"{prefix}s2.safetensors", SPEAKING_S2, {"content": "mfcc"})
    names = {stem: f"{stem}.safetensors" for stem in weights}
    training = make_training(network="s1", folder=prefix)
    card = make_card(
        voice=voice, speakers=(voice,), trainings=(training,), config=prefix, weights=names, kind=kind, parent=parent
    )
    return registry.add(store, card, weights)


WITHOUT_JUDGES = ("--speaker-encoder", "none", "--recogniser", "none", "--opinion", "none")
"""Options of an evaluation or promotion for tests that are not about the judges: loading them takes seconds."""
