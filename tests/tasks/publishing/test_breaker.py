"""The circuit breaker: each bound, just below and just above; what the message says."""

from pathlib import Path

import pytest
from support import factories as f

from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import Cause, Counts
from voicemill.storage.errors import BreakerOpen
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.store import Store
from voicemill.tasks.publishing.breaker import Settings, check_breaker


def counts(**shares: float) -> Counts:
    """1,000 s and 100 uploads; the shares of outcomes, the rest is kept. `lost_failed` etc. are shares of uploads."""
    names = {"filtered": ("screen", "noisy"), "failed": ("mel", "stage_error"), "corrupt": ("decode", "damaged")}
    names |= {"silence": ("slice", "no_speech")}
    causes = [
        Cause(
            outcome=name,
            stage=stage,
            reason=reason,
            seconds=1000 * shares.get(name, 0.0),
            lost=round(100 * shares.get(f"lost_{name}", 0.0)),
        )
        for name, (stage, reason) in names.items()
        if name in shares or f"lost_{name}" in shares
    ]
    kept = 1000 - sum(cause.seconds for cause in causes)
    return Counts(
        uploads={},
        seconds={},
        reasons={},
        causes=(*causes, Cause(outcome="kept", stage="", reason="", seconds=kept, lost=0)),
        accounted=100,
        speakers=1,
        utterances=1,
        hours=1.0,
    )


BOUNDS = [
    ("filtered", "first", 0.60),
    ("failed", "first", 0.20),
    ("corrupt", "first", 0.50),
    ("silence", "first", 0.95),
    ("filtered", "rise", 0.10),
    ("failed", "rise", 0.05),
    ("corrupt", "rise", 0.10),
    ("silence", "rise", 0.20),
]


@pytest.mark.parametrize(("outcome", "kind", "bound"), BOUNDS)
def test_every_bound(outcome: str, kind: str, bound: float) -> None:
    was = 0.0 if kind == "first" else 0.03
    before = None if kind == "first" else counts(**{outcome: was})
    check_breaker(before, counts(**{outcome: was + bound - 0.001}), Settings())
    with pytest.raises(BreakerOpen, match=rf"publish\.max_{outcome}_{kind}\)"):
        check_breaker(before, counts(**{outcome: was + bound + 0.001}), Settings())


@pytest.mark.parametrize("outcome", ["failed", "corrupt"])
def test_uploads_count_where_seconds_are_missing(outcome: str) -> None:
    with pytest.raises(BreakerOpen, match="of the uploads are"):
        check_breaker(None, counts(**{f"lost_{outcome}": 0.51}), Settings())
    check_breaker(None, counts(lost_filtered=0.9), Settings())


def test_the_message_says_what_happened() -> None:
    with pytest.raises(BreakerOpen) as caught:
        check_breaker(counts(filtered=0.02), counts(filtered=0.30), Settings())
    assert str(caught.value) == (
        "nothing was published: 30.0% of the seconds are filtered, 2.0% in the version before; may rise by 10% at most "
        "(publish.max_filtered_rise). Most of it: noisy by stage screen, 300 s (20 s before), 0 uploads wholly. Fix "
        "the cause, or publish anyway with --force-publish."
    )


def test_what_was_bad_before_may_stay_so() -> None:
    check_breaker(counts(failed=0.5), counts(failed=0.5), Settings())


def test_small_corpora_and_duplicates_do_not_trip_it() -> None:
    few = Counts(
        uploads={},
        seconds={},
        reasons={},
        causes=(Cause(outcome="failed", stage="mel", reason="stage_error", seconds=299.0, lost=9),),
        accounted=9,
        speakers=0,
        utterances=0,
        hours=0.0,
    )
    check_breaker(None, few, Settings())
    with pytest.raises(BreakerOpen):
        check_breaker(None, few, Settings(min_minutes=4))
    twice = Counts(
        uploads={},
        seconds={},
        reasons={},
        causes=(
            Cause(outcome="filtered", stage="slice", reason="duplicate", seconds=900.0, lost=9),
            Cause(outcome="kept", stage="", reason="", seconds=400.0, lost=0),
        ),
        accounted=18,
        speakers=1,
        utterances=1,
        hours=1,
    )
    check_breaker(None, twice, Settings())


def test_nothing_is_published_but_by_force(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    batch = f.make_batch(1, *(f.upload("ann", n, 12.0) for n in range(10)))
    settings = Settings(min_minutes=1)
    f.corpus(store, [batch], settings=settings)

    def fail(made: f.Made) -> None:
        for upload in batch.uploads[:3]:
            made.failures["mel"].append(Failure(upload.sha256, "boom"))

    with pytest.raises(BreakerOpen, match="stage_error by stage mel"):
        f.corpus(store, [batch], fail, settings=settings)
    assert len(versions.history(store)) == 1
    forced = f.corpus(store, [batch], fail, settings=settings, force=True)
    assert forced is not None
    assert forced.number == 2
    assert forced.counts.seconds[Outcome.FAILED] == pytest.approx(3 * 11.3)


def test_vanished_uploads_trip_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    batches = [f.make_batch(n, f.upload("ann", n, 12.0)) for n in range(10)]
    settings = Settings(min_minutes=1)
    f.corpus(store, batches, settings=settings)
    with pytest.raises(BreakerOpen, match=r"3 uploads, 30\.0% of the audio of version 1, are no longer in the inbox"):
        f.corpus(store, batches[3:], settings=settings)
    assert f.corpus(store, batches[2:], settings=settings) is not None
