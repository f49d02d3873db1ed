"""People in two folders and folders with several voices, on references with known directions and on ledger rows."""

import numpy as np
import pyarrow as pa

from voicemill.flows.report.voices import OtherVoices, _others, alike
from voicemill.model.speaker.comparison import Reference, unit
from voicemill.storage.units import RATE


def reference(seed: int, mixed: int = 0, share: float = 0.0) -> Reference:
    first, second = (np.random.default_rng(s).normal(size=256).astype(np.float32) for s in (seed, mixed))
    return Reference(unit((1 - share) * unit(first) + share * unit(second)), 0.9, 60.0, 10)


def test_two_folders_of_one_person_are_named_once_and_others_are_not() -> None:
    found = alike({"ann": reference(1), "bob": reference(2), "ann-old": reference(1, 3, 0.2)})
    assert [(pair.first, pair.second) for pair in found] == [("ann", "ann-old")]
    assert 0.92 < found[0].similarity < 0.99
    assert alike({"ann": reference(1)}) == []


def test_speech_filtered_by_its_voice_is_summed_by_folder() -> None:
    rows = [
        ("ann", 0, 10, "kept", ""),
        ("ann", 10, 13, "filtered", "other_speaker"),
        ("ann", 13, 14, "silence", "no_speech"),
        ("ann", 14, 16, "filtered", "two_speakers"),
        ("bob", 0, 9, "kept", ""),
        ("cem", 0, 5, "filtered", "two_speakers"),
        ("cem", 5, 15, "filtered", "other_speaker"),
    ]
    speakers, starts, stops, outcomes, reasons = map(list, zip(*rows, strict=True))
    seconds = [[second * RATE for second in column] for column in (starts, stops)]
    names = ["speaker", "start", "stop", "outcome", "reason"]
    ledger = pa.table([speakers, *seconds, outcomes, reasons], names=names)
    assert _others(ledger) == [OtherVoices("cem", 10.0, 5.0, 0.0), OtherVoices("ann", 3.0, 2.0, 10.0)]
