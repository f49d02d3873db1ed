"""Base of the results of all flows."""

from dataclasses import asdict
from typing import Any, cast

from voicemill.storage.units import Seconds


class FlowResult:
    """Result of a flow, a dataclass; `--json` of its command prints `as_json`.

    The two attributes that all results share are declared here and become fields in each subclass, at the end, so that
    the order of the fields in the JSON is that of the subclass.
    """

    run: str
    """Address of the flow run in the dashboard."""
    wall_s: Seconds
    """Duration of the flow run."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(cast(Any, self))
