"""A blind listening test of two entries of a voice: synthesis, ballot, and result. No Prefect."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from voicemill.flows.evaluation.erasure import erased_if_forgotten
from voicemill.flows.listening.ballot import Ballot, Pair, pair_of
from voicemill.flows.plans import evaluate as plans
from voicemill.flows.plans.evaluate import EvaluateOptions
from voicemill.model.judging.preference import Preference, preference
from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.storage.voices import votes


@dataclass(frozen=True)
class Outcome:
    """Result of the votes on two entries so far; `voicemill ab --result --json` prints it."""

    voice: str
    a: int
    b: int
    preference: Preference

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"voice": self.voice, "entries": {"a": self.a, "b": self.b}, **self.preference.as_json()}

    def words(self) -> list[str]:
        """Lines for a reader."""
        result = self.preference
        which = {"a": f"entry {self.a} is preferred", "b": f"entry {self.b} is preferred"}
        if not result.listeners:
            return [f"entries {self.a} and {self.b} of {self.voice}: no votes yet"]
        return [
            f"entries {self.a} and {self.b} of {self.voice}: {which.get(result.verdict, result.verdict)}",
            f"{result.a} votes for {self.a}, {result.b} for {self.b}, {result.same} without a difference, of "
            f"{result.listeners} listeners on {result.sentences} sentences",
            f"share of {self.a} without ties: {result.share:.1%}, 95 % interval {result.low:.1%} to {result.high:.1%} "
            f"(Wilson), p = {result.p:.3g} (sign test)",
            f"the first sound was chosen in {result.left:.1%} of these",
        ]


def outcome(store: Store, voice: str, a: int, b: int) -> Outcome:
    """Result of all votes so far."""
    return Outcome(voice, a, b, preference(votes.latest_votes(votes.history(store, voice, a, b))))


def prepare(options: EvaluateOptions, report: Callable[[str], None]) -> Ballot:
    """Synthesise what is missing of both entries (`options.numbers`), and make the ballot.

    Raises:
        ConfigError: not two entries, or no sentence that both can speak; else as `plan_evaluation`.
        StoreError: a speaker of the test set was forgotten meanwhile.
    """
    plan = plans.plan_evaluation(options)
    if len(plan.entries) != 2:
        raise ConfigError(f"--a and --b name {len(plan.entries)} entry: expected two")
    sentences = plans.testset_of(plan)
    speeches = []
    pairs: list[Pair] = []
    with erased_if_forgotten(plan, sentences):
        for entry in plan.entries:
            report(f"{entry.name}: synthesising {len(sentences.sentences)} sentences")
            speeches.append(plans.speak(plan, entry, sentences))
        for sentence in sentences.sentences:
            first, second = (speech.wave(sentence.id) for speech in speeches)
            if first is not None and second is not None:
                pairs.append(pair_of(sentence.id, sentence.text, sentence.language, first, second))
    one, other = plan.entries
    return Ballot(
        pairs,
        (plan.voice, one.number, other.number, sentences.sha256),
        lambda vote: votes.append(plan.store, vote),
        lambda: datetime.now(UTC).isoformat(timespec="seconds"),
        np.random.default_rng(),
    )
