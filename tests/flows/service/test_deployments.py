"""The deployments that `voicemill up` makes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import voicemill.flows
from voicemill.flows.service.up import MONTHLY, checked_schedule
from voicemill.storage.errors import ConfigError


def test_a_deployment_has_one_run_at_a_time_and_the_next_waits() -> None:
    yaml = pytest.importorskip("yaml")
    file = yaml.safe_load((Path(voicemill.flows.__file__).parent / "prefect.yaml").read_text("utf-8"))
    limits = {each["name"]: each.get("concurrency_limit") for each in file["deployments"]}
    assert {"monthly", "on-upload", "on-corpus", "quarterly", "on-model", "on-promotion"} <= limits.keys()
    assert all(limit == {"limit": 1, "collision_strategy": "ENQUEUE"} for limit in limits.values()), limits


@pytest.mark.parametrize("zone", ["Asia/Tokyo", ":Europe/Paris"])
def test_schedules_are_in_the_time_zone_of_the_machine(zone: str) -> None:
    code = "from voicemill.flows.service.up import checked_schedule; print(*checked_schedule('', ''))"
    ran = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TZ": zone}, capture_output=True, text=True)
    assert ran.stdout == f"{MONTHLY} {zone.strip(':')}\n"


def test_a_wrong_schedule_or_time_zone_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_schedule("15 4 * * 0", "Europe/Paris") == ("15 4 * * 0", "Europe/Paris")
    for cron in ("monthly", "61 4 * * 0", "0 3 *"):
        with pytest.raises(ConfigError, match=f"--schedule {re.escape(repr(cron))}: .*'0 3 1"):
            checked_schedule(cron, "UTC")
    for zone in ("Mars/Olympus", "../etc/passwd", "CEST"):
        with pytest.raises(ConfigError, match=r"--timezone .*such as Europe/Paris"):
            checked_schedule("", zone)
    monkeypatch.setenv("TZ", "XYZ-7")
    time.tzset()
    try:
        with pytest.raises(ConfigError, match="has no name in the IANA database: give one by --timezone"):
            checked_schedule("", "")
    finally:
        monkeypatch.undo()
        time.tzset()
