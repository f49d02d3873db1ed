"""Growth of the corpus over its versions, compared with a monthly target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from voicemill.storage.corpus.versions import Version

MONTHLY_AIM = 1.2
"""Target ratio of the number of speakers to that of a month earlier: 20 % growth a month."""

MONTH_DAYS = 365.25 / 12


@dataclass(frozen=True)
class Growth:
    """Growth from earlier versions to one version."""

    days: float
    """Days since the first version."""
    earlier: Version | None
    """Newest version with speakers that is at least 27 days older: refreshes are monthly, and months differ."""
    earlier_days: float
    """Days since `earlier`."""
    aim: float
    """Target number of speakers for this version."""
    first_month: int
    """Target number of speakers one month after the first version."""


def growth(history: Sequence[Version]) -> Growth:
    """Compare the last version of a history with the earlier ones."""
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
    """Target number of speakers at `when`: 20 % growth a month since the first version with speakers."""
    first = next((version for version in history if version.counts.speakers), history[0])
    days = (when - created(first)).total_seconds() / 86_400
    return float(first.counts.speakers * MONTHLY_AIM ** (days / MONTH_DAYS))


def created(version: Version) -> datetime:
    """Time of publication."""
    return datetime.fromisoformat(version.created)
