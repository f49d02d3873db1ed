"""How the corpus grows over its versions, and the aim that it is held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from voicemill.storage.corpus.versions import Version

MONTHLY_AIM = 1.2
"""Speakers a month later, as a multiple: the corpus is meant to grow by 20 % each month."""

MONTH_DAYS = 365.25 / 12


@dataclass(frozen=True)
class Growth:
    """A version seen against those before it."""

    days: float
    """Since the first version."""
    earlier: Version | None
    """The newest that is 27 days older or more (refreshes are monthly, and months differ) and has speakers."""
    earlier_days: float
    aim: float
    """Speakers that the aim asks for now."""
    first_month: int
    """Speakers that the aim asks for a month after the first version."""


def growth(history: Sequence[Version]) -> Growth:
    """Compare the last version of a history with those before it."""
    now = created(history[-1])
    earlier = [v for v in history if v.counts.speakers and (now - created(v)).total_seconds() >= 27 * 86_400]
    return Growth(
        days=(now - created(history[0])).total_seconds() / 86_400,
        earlier=earlier[-1] if earlier else None,
        earlier_days=(now - created(earlier[-1])).total_seconds() / 86_400 if earlier else 0.0,
        aim=aim(history, now),
        first_month=math.ceil(aim(history, created(history[0]) + timedelta(days=MONTH_DAYS))),
    )


def aim(history: Sequence[Version], when: datetime) -> float:
    """Speakers that the aim asks for at `when`: +20 % a month since the first version that had any."""
    first = next((version for version in history if version.counts.speakers), history[0])
    days = (when - created(first)).total_seconds() / 86_400
    return float(first.counts.speakers * MONTHLY_AIM ** (days / MONTH_DAYS))


def created(version: Version) -> datetime:
    """When it was published."""
    return datetime.fromisoformat(version.created)
