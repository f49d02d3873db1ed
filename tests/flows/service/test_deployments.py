"""The deployments that `voicemill up` makes."""

from pathlib import Path

import pytest

import voicemill.flows


def test_a_deployment_has_one_run_at_a_time_and_the_next_waits() -> None:
    yaml = pytest.importorskip("yaml")
    file = yaml.safe_load((Path(voicemill.flows.__file__).parent / "prefect.yaml").read_text("utf-8"))
    limits = {each["name"]: each.get("concurrency_limit") for each in file["deployments"]}
    assert {"monthly", "on-upload", "on-corpus", "quarterly", "on-model", "on-promotion"} <= limits.keys()
    assert all(limit == {"limit": 1, "collision_strategy": "ENQUEUE"} for limit in limits.values()), limits
