"""What an evaluation writes is not kept where somebody of its corpus version is forgotten while it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

from voicemill.flows.plans.evaluate import EvaluationPlan
from voicemill.model.judging.testset.testset import TestSet
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting import evaluations as judged
from voicemill.storage.forgetting.forget import forgotten


@contextmanager
def kept(plan: EvaluationPlan, sentences: TestSet) -> Iterator[None]:
    """All speech, figures and pages of an evaluation are written within this. A forgetting leaves its mark before it
    erases anything: either it erases what was written here, or it is seen at the end. What others could not delete,
    because they were killed, goes first.

    Raises:
        StoreError: somebody was forgotten, or is being; nothing that was written is left.
    """
    judged.sweep(plan.store)
    try:
        yield
    finally:  # also where it failed: what was said is there
        number = sentences.corpus_version
        if number in forgotten(plan.store):
            judged.sweep(plan.store)
            raise StoreError(
                f"somebody of corpus version {number} of {plan.store.root} was forgotten meanwhile: what "
                f"{', '.join(entry.name for entry in plan.entries)} said, the figures and the page are deleted. "
                "`voicemill refresh` makes the next version, to be judged on"
            )
