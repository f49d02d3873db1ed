"""The training loop of one network in one phase: steps, validations, checkpoints, early stopping, export.

    training = Training(spec, folder, ranks, objective, source)   # resumes where the folder has a checkpoint
    result = training.run()

After a step the loop validates, logs, samples and writes a checkpoint, in this order. SIGTERM is obeyed before that:
the checkpoint that is then written records that the rest of its step is still to be done (`State.pending`).
"""

import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from voicemill.model.adapters.files import save
from voicemill.model.adapters.lora import names
from voicemill.model.checkpoints.writing import write
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.settings.training import Phase
from voicemill.model.training.engine.checkpointing import Checkpoints, State
from voicemill.model.training.engine.evaluating import Stopping, evaluate
from voicemill.model.training.engine.logbook import Logbook
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.ranks import Ranks, out_of_memory
from voicemill.model.training.engine.run import Result, RunSpec, as_json
from voicemill.model.training.engine.stepping import Feed, Source, Stepper, Stopped
from voicemill.storage.units import Seconds


class Terminated(Exception):
    """SIGTERM was received; a checkpoint of the last step is written."""


class Training:
    """One network in one phase, trained from its start or from its last checkpoint.

    Raises ConfigError: the phase is not in the settings.
    """

    def __init__(
        self, spec: RunSpec, folder: Path, ranks: Ranks, objective: Objective, source: Source, content: str = ""
    ) -> None:
        """`content`: the content encoder of the corpus, for the lineage of the exported weights."""
        self.spec, self.folder, self.ranks, self.objective, self.source = spec, folder, ranks, objective, source
        self.content = content
        self.settings = spec.settings.loop
        self.phase: Phase = spec.settings.phases[spec.phase]
        self.checkpoints = Checkpoints(folder / "checkpoints", self.settings.keep, self._warn)
        falls_from = round(self.phase.steps * (1 - self.phase.cooldown))
        steps = self.phase.steps if self.phase.cooldown else 0
        self.stepper = Stepper(ranks, objective, self.settings, self.phase.rate, falls_from, steps)
        self.step = 0
        self.stopping = Stopping(self.settings.patience)
        self.book: Logbook | None = None
        self.validates = True
        """Whether there is a validation set; the first validation finds out."""
        self._terminated = False
        self._before: Seconds = 0.0
        self._began = time.monotonic()
        self._saved = -1
        """Step of the newest checkpoint."""

    def run(self) -> Result:
        """Train to the end of the phase, or until patience has run out.

        Raises:
            Terminated: SIGTERM was received.
            OSError: the disk is full.
        """
        state = self.ranks.broadcast(self.checkpoints.latest() if self.ranks.first else None)
        self._resume(state)
        if self.ranks.first:
            sums, counted = (state.sums, state.counted) if state else ({}, 0)
            self.book = Logbook(self.folder, self.phase.steps, self.step, sums, counted)
            self._introduce(state)
        feed = Feed(
            self.source, self.ranks, self.step, self.spec.settings.data.batch, self._accumulate(state), self._warn
        )
        try:
            with self._noting_sigterm():
                if not (state and state.pending and self._follow(feed)):
                    self._steps(feed)
            return self._finished()
        except Stopped as stop:
            return self._result(stop.outcome, stop.detail, {})
        finally:
            feed.close()
            if self.book:
                self.book.close()

    def _steps(self, feed: Feed) -> None:
        while self.step < self.phase.steps and not self.stopping.over:
            began = time.monotonic()
            stepped = self.stepper.step(self.step + 1, feed)
            self.step += 1
            if self.book:
                self.book.add(stepped, time.monotonic() - began, feed.waited)
                if self.step % self.settings.log_every == 0:
                    self.book.norms(self.step, stepped.norms)
            if self.ranks.any([self._terminated])[0]:
                self._end(feed, pending=True)
            if self._follow(feed):
                return

    def _follow(self, feed: Feed) -> bool:
        """Do what follows a step; True where training stops early."""
        last = self.step == self.phase.steps
        validation: dict[str, float] = {}
        better = False
        if self.validates and self._due(self.settings.evaluate_every):
            validation = evaluate(self.ranks, self.objective, self.source, lambda: self._terminated)
            if not validation:
                if self.ranks.any([self._terminated])[0]:
                    self._end(feed, pending=True)
                self.validates = False
                self._say("no validation set: nothing of the corpus is held out, so training does not stop early")
            else:
                self.stopping = self.stopping.after(self.step, validation["loss"])
                better = self.stopping.best_step == self.step
        if self.book and (validation or self._due(self.settings.log_every)):
            self.book.write(self.step, self.stepper.rate_at(self.step), validation, self._seconds())
        if self.book and self._due(self.settings.sample_every):
            self._sample(feed)
        over = self.stopping.over
        if better or last or over or self._due(self.settings.checkpoint_every):
            self._save(feed, pending=False)
        return over

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.phase.steps

    def _resume(self, state: State | None) -> None:
        if state is None:
            return
        tensors = self.checkpoints.tensors(state.step)
        self._load(tensors["modules"])
        for name, optimiser in self.stepper.optimisers.items():
            optimiser.load_state_dict(tensors["optimisers"][name])
        if self.ranks.scaler and tensors["scaler"]:
            self.ranks.scaler.load_state_dict(tensors["scaler"])
        self.step = self._saved = state.step
        self.stopping = Stopping(self.settings.patience, state.best, state.best_step, state.waited)
        self._before = state.seconds

    def _load(self, modules: Mapping[str, Mapping[str, Any]]) -> None:
        for name, module in self.objective.modules.items():
            module.load_state_dict(modules[name])

    def _accumulate(self, state: State | None) -> int:
        """Rounds of accumulation: those of the settings, or of the checkpoint where it needed more."""
        return max(self.settings.accumulate, -(-state.parts // self.ranks.world) if state else 1)

    def _save(self, feed: Feed, *, pending: bool) -> None:
        self._saved = self.step
        if not self.ranks.first:
            return
        state = State(
            step=self.step,
            best=self.stopping.best,
            best_step=self.stopping.best_step,
            waited=self.stopping.waited,
            parts=self.ranks.world * feed.accumulate,
            seconds=self._seconds(),
            pending=pending,
            sums=dict(self.book.sums) if self.book else {},
            counted=self.book.counted if self.book else 0,
        )
        tensors = {
            "modules": {name: module.state_dict() for name, module in self.objective.modules.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.stepper.optimisers.items()},
            "scaler": self.ranks.scaler.state_dict() if self.ranks.scaler else {},
        }
        self.checkpoints.save(state, tensors)

    def _end(self, feed: Feed, *, pending: bool) -> None:
        self._save(feed, pending=pending)
        self.ranks.wait()  # the first rank that exits ends the others
        self._say(f"ended by SIGTERM after step {self.step}; the same command continues from there")
        raise Terminated

    def _sample(self, feed: Feed) -> None:
        """Write a sample to the log; the training goes on where memory does not suffice for one."""
        batch = next(iter(self._validation()), None) or feed.newest
        if self.book is None or batch is None:
            return
        for module in self.objective.modules.values():
            module.eval()
        try:
            self.book.sample(self.step, self.objective.sample(batch.to(self.ranks.device)))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            self._warn(f"step {self.step}: no sample, out of memory")

    def _validation(self) -> Iterator[Minibatch]:
        """The validation set from its start, on rank 0 alone."""
        return self.source.validation(0, self.ranks.world) if self.validates else iter(())

    def _finished(self) -> Result:
        early = self.step < self.phase.steps
        best = self.stopping.best_step or self.step
        if best != self.step:
            try:
                self._load(self.checkpoints.tensors(best)["modules"])
            except (OSError, ValueError) as error:
                self._warn(f"the best checkpoint (step {best}) cannot be read: {error}; step {self.step} is exported")
                best = self.step
        detail = f"{self.step} steps, best at {best}"
        if early:
            detail += f": no improvement in {self.stopping.waited} validations"
        return self._result("early" if early else "finished", detail, self._export(best))

    def _export(self, step: int) -> dict[str, str]:
        if not self.ranks.first:
            return {}
        lineage = {
            "corpus_version": self.spec.version,
            "content": self.content,
            "phase": self.spec.phase,
            "speakers": list(self.spec.speakers),
            "start": self.spec.start,
            "quantizer": self.spec.quantizer,
            "step": step,
            "settings": sha256(as_json(self.spec.settings.model_dump(mode="json")).encode()).hexdigest(),
        }
        exports: dict[str, str] = {}
        for stem, checkpoint in self.objective.checkpoints(lineage).items():
            path = self.folder / "export" / f"{stem}.safetensors"
            path.parent.mkdir(exist_ok=True)
            write(path, checkpoint)
            exports[stem] = str(path)
        network = self.objective.modules[self.objective.network]
        if adapters := names(network):
            save(network, self.folder / "export" / "adapter", lineage, adapters[0])
            exports["adapter"] = str(self.folder / "export" / "adapter")
        return exports

    def _result(self, outcome: str, detail: str, exports: Mapping[str, str]) -> Result:
        losses = self.book.last if self.book else {}
        best = self.stopping.best if math.isfinite(self.stopping.best) else math.nan
        return Result(
            outcome=outcome,
            detail=detail,
            step=self.step,
            best_step=self.stopping.best_step or self.step,
            best=best,
            losses=losses,
            exports=exports,
        )

    def _introduce(self, state: State | None) -> None:
        for note in self.objective.notes:
            self._say(note)
        for name, module in self.objective.modules.items():
            every = sum(p.numel() for p in module.parameters())
            moved = sum(p.numel() for p in module.parameters() if p.requires_grad)
            self._say(f"{name}: {every:,} parameters, {moved:,} of them trained ({moved / max(every, 1):.2%})")
        self._say(f"{self.ranks.world} x {self.ranks.device.type}: {self.ranks.reason}")
        if state:
            self._say(f"continues after step {state.step} of {self.phase.steps}")

    def _seconds(self) -> Seconds:
        return self._before + time.monotonic() - self._began

    def _say(self, words: str) -> None:
        if self.ranks.first:
            Logbook.say(words)

    def _warn(self, words: str) -> None:
        if self.book:
            self.book.warn(words, self.step)
        else:
            self._say(f"warning: {words}")

    @contextmanager
    def _noting_sigterm(self) -> Iterator[None]:
        """Note SIGTERM, to obey it after the step."""

        def note(*_: Any) -> None:
            self._terminated = True

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
