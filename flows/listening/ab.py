"""A blind comparison of two entries of a voice by ear: what they say, the ballot, and what came of it. No Prefect."""

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
    """What listeners said of two entries so far; `voicemill ab --result --json` prints it."""

    voice: str
    a: int
    b: int
    preference: Preference

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {"voice": self.voice, "entries": {"a": self.a, "b": self.b}, **self.preference.as_json()}

    def words(self) -> list[str]:
        """For a reader."""
        found = self.preference
        which = {"a": f"entry {self.a} is preferred", "b": f"entry {self.b} is preferred"}
        if not found.listeners:
            return [f"entries {self.a} and {self.b} of {self.voice}: no votes yet"]
        return [
            f"entries {self.a} and {self.b} of {self.voice}: {which.get(found.verdict, found.verdict)}",
            f"{found.a} votes for {self.a}, {found.b} for {self.b}, {found.same} without a difference, of "
            f"{found.listeners} listeners on {found.sentences} sentences",
            f"share of {self.a} without ties: {found.share:.1%}, 95 % interval {found.low:.1%} to {found.high:.1%} "
            f"(Wilson), p = {found.p:.3g} (sign test)",
            f"the first sound was chosen in {found.left:.1%} of these",
        ]


def outcome(store: Store, voice: str, a: int, b: int) -> Outcome:
    """Of all votes so far."""
    return Outcome(voice, a, b, preference(votes.latest_votes(votes.history(store, voice, a, b))))


def prepare(options: EvaluateOptions, told: Callable[[str], None]) -> Ballot:
    """Let both entries (`options.numbers`) say what they have not said yet, and make the ballot.

    Raises:
        ConfigError: not two entries, or no sentence that both can say; else as `evaluation_plan.plan_evaluation`.
        StoreError: somebody of the test set was forgotten meanwhile.
    """
    plan = plans.plan_evaluation(options)
    if len(plan.entries) != 2:
        raise ConfigError(f"--a and --b name {len(plan.entries)} entry: two are compared")
    sentences = plans.testset_of(plan)
    said = []
    pairs: list[Pair] = []
    with erased_if_forgotten(plan, sentences):
        for entry in plan.entries:
            told(f"{entry.name} says {len(sentences.sentences)} sentences")
            said.append(plans.speak(plan, entry, sentences))
        for sentence in sentences.sentences:
            first, second = (speech.wave(sentence.id) for speech in said)
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
