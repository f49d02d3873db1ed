"""Delete an evaluation's output if a speaker of its corpus version is forgotten while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from voicemill.flows.plans.evaluate import EvaluationPlan
from voicemill.model.judging.testset.testset import TestSet
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting.forget import erase_leftover_evaluations
from voicemill.storage.forgetting.receipts import forgotten_versions


@contextmanager
def erased_if_forgotten(plan: EvaluationPlan, sentences: TestSet) -> Iterator[None]:
    """Context within which an evaluation writes all its speech, figures and pages.

    A forgetting leaves its mark before it erases anything: either it erases what was written here, or the mark is there
    at the end of the context, which then erases it. Leftovers of killed evaluations are erased at the start.

    Raises:
        StoreError: a speaker was forgotten or is being forgotten; nothing of the output is left.
    """
    erase_leftover_evaluations(plan.store)
    try:
        yield
    finally:  # a failed evaluation has written speech, too
        number = sentences.corpus_version
        if number in forgotten_versions(plan.store):
            erase_leftover_evaluations(plan.store)
            raise StoreError(
                f"a speaker of corpus version {number} of {plan.store.root} was forgotten meanwhile: the page, and the "
                f"speech and the figures of {', '.join(entry.name for entry in plan.entries)}, are deleted. Run "
                "`voicemill refresh` for the next version, and evaluate on that"
            )
