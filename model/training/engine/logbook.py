"""The log of a training: lines on standard output, progress.jsonl, TensorBoard. Only rank 0 writes one."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.engine.run import Progress, as_json, progress
from voicemill.model.training.engine.stepping import StepOutcome
from voicemill.storage.files import write_text
from voicemill.storage.units import RATE, Seconds

VALIDATION = "validation/"


class Logbook:
    """Log of one attempt that continues after `step`. Lines of later steps, from an earlier attempt, are removed."""

    def __init__(self, folder: Path, steps: int, step: int, sums: Mapping[str, float], counted: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.steps = folder, steps
        self.sums, self.counted = dict(sums), counted
        self.last: dict[str, float] = {}
        """Losses of the last line."""
        known = list(progress(folder))
        kept = [line for line in known if line.step <= step]
        if len(kept) < len(known) or _torn(folder):
            write_text(folder / "progress.jsonl", "".join(as_json(asdict(line)) + "\n" for line in kept))
        if kept:
            self.last = dict(kept[-1].losses)
        self._lines = (folder / "progress.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._began, self._first = time.monotonic(), step
        self._examples = self._speech = self._worked = self._waited = 0.0

    def add(self, stepped: StepOutcome, worked: Seconds, waited: Seconds) -> None:
        """Count a step that took `worked` seconds of wall clock, `waited` of them for its examples."""
        for term, value in stepped.losses.items():
            self.sums[term] = self.sums.get(term, 0.0) + value
        self.counted += 1
        self._examples += stepped.examples
        self._speech += stepped.seconds
        self._worked += worked
        self._waited += waited

    def write(self, step: int, rate: float, validation: Mapping[str, float], seconds: Seconds) -> None:
        """Write one line to every log, for the steps since the last line; `seconds` of training so far."""
        means = {term: value / self.counted for term, value in self.sums.items()} if self.counted else dict(self.last)
        self.last = means | {VALIDATION + term: value for term, value in validation.items()}
        worked = max(self._worked, 1e-9)
        line = Progress(
            step=step,
            steps=self.steps,
            losses=self.last,
            rate=rate,
            examples_per_s=self._examples / worked,
            audio_per_s=self._speech / worked,
            seconds=round(seconds, 3),
        )
        self._lines.write(as_json(asdict(line)) + "\n")
        self._lines.flush()
        for term, value in self.last.items():
            self._board.add_scalar(term if term.startswith(VALIDATION) else f"training/{term}", value, step)
        board = {"rate": rate, "examples_per_s": line.examples_per_s, "audio_per_s": line.audio_per_s}
        for term, value in (board | {"waiting_share": self._waited / worked}).items():
            self._board.add_scalar(f"speed/{term}" if term != "rate" else term, value, step)
        self._board.flush()
        self.say(self._plain(line, step, self._waited / worked))
        self.sums, self.counted = {}, 0
        self._examples = self._speech = self._worked = self._waited = 0.0

    def norms(self, step: int, norms: Mapping[str, float]) -> None:
        """Write the gradient norms of one step."""
        for module, value in norms.items():
            self._board.add_scalar(f"gradient_norm/{module}", value, step)

    def sample(self, step: int, sample: Sample) -> None:
        """Write sounds, and images from dark (low) to bright (high)."""
        for name, wave in sample.waves.items():
            self._board.add_audio(name, wave[None].clip(-1, 1), step, RATE)
        for name, image in sample.images.items():
            self._board.add_image(name, _coloured(image), step, dataformats="HWC")

    def warn(self, words: str, step: int) -> None:
        """Write a warning, also for a reader of the curves."""
        self.say(f"warning: {words}")
        self._board.add_text("warnings", words, step)

    @staticmethod
    def say(words: str) -> None:
        """Print one line, flushed."""
        print(words, flush=True)

    def close(self) -> None:
        """Flush and close."""
        self._lines.close()
        self._board.close()

    def _plain(self, line: Progress, step: int, waiting: float) -> str:
        terms = dict(sorted(self.last.items(), key=lambda item: item[0] != "loss"))
        said = [f"step {step}/{self.steps}", *(f"{term} {value:.4g}" for term, value in terms.items())]
        if line.examples_per_s:
            said += [f"{line.examples_per_s:.3g} examples/s", f"{line.audio_per_s:.3g} s of speech/s"]
        if waiting > 0.1:
            said.append(f"{waiting:.0%} of the time waiting for examples")
        if step > self._first:
            left = (time.monotonic() - self._began) / (step - self._first) * (self.steps - step)
            said.append(f"eta {clock(left)}")
        return "  ".join(said)


def clock(seconds: Seconds) -> str:
    """Return a duration as 3:12, or 1:03:12."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _torn(folder: Path) -> bool:
    """Whether the last line is incomplete: its process died while it wrote it."""
    path = folder / "progress.jsonl"
    return path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")


def _coloured(image: Any) -> Any:
    """An image float [rows, frames], low frequencies first, as uint8 [rows, frames, 3], low ones at the bottom."""
    import numpy as np
    from matplotlib import colormaps

    values = np.nan_to_num(np.asarray(image, np.float32))[::-1]
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low if high > low else 1.0)
    return (colormaps["magma"](scaled)[..., :3] * 255).astype(np.uint8)
