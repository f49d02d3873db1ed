"""The network by which `align` judges Chinese texts, trained, and measured on what did not teach it.

`python tests/bench/phone_witness.py [--write]`: the right and wrong texts of `text_witness.py`, judged as the stage
does, by networks of which none was taught by the recording. Of the speaker with most recordings (`CALIBRATED`) each
quarter is measured with what the other three and the other speakers taught; every other speaker is measured with what
that one alone taught. Voices of espeak-ng teach beside people, and others are measured, so that synthetic speech is
judged fairly. `--write` writes the weights of the package, taught by the speakers of the calibration and espeak-ng.
Table, and bench/phone_witness.json.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soxr
from cut_speech import CutRecording, cut_recordings
from phone_network import Ears, Regression, listen
from text_witness import CALIBRATED, LONGEST, Judged, Words, few, judgements, rates

from voicemill.flows.demo.voice import RATE as VOICE_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.aligner.phone_aligner import Heard, placed
from voicemill.model.aligner.phone_network import WEIGHTS
from voicemill.model.speech.words import Alignment
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

OUT = Path("bench/phone_witness.json")
MOST, MEASURED, QUARTERS = 14, 75, 4
"""English recordings of a speaker that teach, recordings of a speaker that are measured; parts of a speaker's own."""
VOICES = {"zh": "cmn"}
TEACH, MEASURE = ("+m3", "+f1"), ("+m7", "+f4", "+m1", "+Annie")
SENTENCES = 14
"""Variants of espeak-ng that teach and those that are measured, and the sentences of each."""


class Taught:
    """One network as the aligner of the stage: what it hears in each recording is computed once."""

    def __init__(self, ears: Ears, model: Regression, clip: CutRecording) -> None:
        self.heard = Heard.of(model.scores(ears.units[clip.file]))

    def align(self, wave: Wave, words: Words, language: str) -> Alignment:
        """As `PhoneAligner.align`."""
        return placed(self.heard, words, language, len(wave))


def synthetic(clips: Sequence[CutRecording], language: str) -> list[CutRecording]:
    """Texts of some recordings, spoken by espeak-ng; each variant says others."""
    spoken, variants = [], (*TEACH, *MEASURE)
    for at, variant in enumerate(variants):
        own = [clip.text for clip in clips[at :: len(variants)][:SENTENCES]]
        for text, wave in zip(own, speak([Line(text, VOICES[language] + variant) for text in own]), strict=True):
            at_rate = soxr.resample(np.asarray(wave, np.float32), VOICE_RATE, RATE)
            file = f"espeak-ng/{language}{variant}/{len(spoken)}"
            spoken.append(
                CutRecording(
                    speaker=variant,
                    file=file,
                    language=language,
                    text=text,
                    source="espeak-ng",
                    waves=(at_rate,),
                    seconds=len(at_rate) / RATE,
                )
            )
    return spoken


def measured(ears: Ears, language: str, clips: Sequence[CutRecording]) -> dict[str, list[Judged]]:
    """Group of speakers -> verdicts on the texts of their recordings."""
    people = [clip for clip in clips if clip.source != "espeak-ng"]
    own = [clip for clip in people if clip.speaker in CALIBRATED]
    rest = [clip for clip in people if clip.speaker not in CALIBRATED]
    voices = [clip for clip in clips if clip.speaker in TEACH]
    quarter = {clip.file: at * QUARTERS // len(own) for at, clip in enumerate(own)}  # neighbours have words in common
    models: dict[int, Regression] = {-1: taught(ears, language, clips)}
    for number in range(QUARTERS):
        models[number] = ears.teach([c for c in own if quarter[c.file] != number] + rest + voices, language)
    result: dict[str, list[Judged]] = {"calibrated on": [], "others": [], "espeak-ng": []}
    chosen = few([clip for clip in people if clip.seconds <= LONGEST], MEASURED)
    for group in (chosen, [clip for clip in clips if clip.speaker in MEASURE]):
        for clip in group:
            aligner = Taught(ears, models[quarter.get(clip.file, -1)], clip)
            side = "calibrated on" if clip.file in quarter else "espeak-ng" if clip.speaker in MEASURE else "others"
            result[side] += judgements(aligner, clip, group)
    return result


def taught(ears: Ears, language: str, clips: Sequence[CutRecording]) -> Regression:
    """The regression that the package holds: of the speakers of the calibration, and of espeak-ng."""
    return ears.teach([clip for clip in clips if clip.speaker in (*CALIBRATED, *TEACH)], language)


def write(ears: Ears, models: Mapping[str, Regression]) -> None:
    """Write the file of the package."""
    tables = {"hidden/weights": ears.hidden.weights, "hidden/bias": ears.hidden.bias}
    tables |= {
        f"{language}/{name}": table for language, model in models.items() for name, table in model.table().items()
    }
    np.savez_compressed(WEIGHTS, **{name: table.astype(np.float16) for name, table in tables.items()})


def main() -> None:
    start, results = time.process_time(), dict[str, object]()
    clips = [c for c in cut_recordings() if c.text and c.seconds <= 20 and c.language in ("en", *VOICES)]
    english = few([clip for clip in clips if clip.language == "en"], MOST)
    others = [clip for clip in clips if clip.language != "en"]
    others += [clip for code in VOICES for clip in synthetic([c for c in others if c.language == code], code)]
    ears = listen([*english, *others])
    print(f"{len(english)} English recordings, {time.process_time() - start:.0f} s of processor", flush=True)
    own = {language: [clip for clip in others if clip.language == language] for language in VOICES}
    if "--write" in sys.argv[1:]:
        write(ears, {language: taught(ears, language, own[language]) for language in VOICES})
        print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes", flush=True)
    for language in VOICES:
        for side, rows in measured(ears, language, own[language]).items():
            results[f"{language}, {side}"] = rates(rows)
            print(f"{language}, {side}", flush=True)
            for kind, row in rates(rows).items():
                print(
                    f"  {kind:28} "
                    + " ".join(f"{k} {v:.3g}" if k == "texts" else f"{k} {v:.1%}" for k, v in row.items())
                )
            for judgement in rows:
                if judgement.kind == "right" and judgement.reason:
                    print(f"  refused: {judgement.file} {judgement.reason}: {judgement.detail}", flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
