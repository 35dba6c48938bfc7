"""Scenario 17: a carrier that is away for a while: texts are accepted, wait, and go out once.

OUTAGE_SECONDS says for how long; the scenario's ten minutes are 600.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import pytest

from tests.flows.conftest import Platform, start_platform
from tests.flows.rig import until

SECONDS = float(os.environ.get("OUTAGE_SECONDS", "20"))
BULK = 500


@pytest.fixture
def platform() -> Generator[Platform]:
    yield from start_platform(rate_limit_per_s=0)


def carrier(platform: Platform) -> dict[str, Any]:
    """The carrier as ``viesti status --json`` shows it."""
    (found,) = (one for one in platform.command("status")["carriers"] if one["lanes"])
    return found


@pytest.mark.slow
def test_a_carrier_that_is_away_costs_time_and_nothing_else(platform: Platform) -> None:
    account, handsets = platform.account("--balance", "100000"), platform.handsets
    account.wait_status(account.send(_number(0), "Before")["id"], "delivered")
    until(lambda: carrier(platform)["bound"] >= 1, "a carrier that is up")
    taken = _counters(platform)["taken"]

    assert handsets.http.post(f"{handsets.base}/outage", json={"kind": "refuse"}).is_success
    bulk = account.call(
        "POST",
        "messages",
        {"contacts": [{"mobile": _number(1_000 + n)} for n in range(BULK)], "template": "Bulk"},
    )
    assert bulk.status_code == 200
    assert bulk.json()["data"]["queued"] == BULK
    singles: list[str] = []
    down = until(lambda: (c := carrier(platform))["bound"] == 0 and c, "a carrier that is down")
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        sent = account.send(_number(2_000 + len(singles)), "During")
        assert sent["status"] == "queued"
        singles.append(sent["id"])
        time.sleep(0.5)
    late = carrier(platform)
    # Not an eternal "queued": who looks sees that it is down, why, and for how long texts wait.
    for seen in (down, late):
        assert seen["bound"] == 0
        assert seen["binds"]
        assert all(bind["lastError"] and bind["boundSince"] is None for bind in seen["binds"])
    waiting = late["queue"]
    assert waiting["waiting"] >= BULK + len(singles) - 1
    assert waiting["oldestWaitingSeconds"] >= SECONDS - 1
    assert _counters(platform)["taken"] == taken

    assert handsets.http.post(f"{handsets.base}/outage", json={"kind": "none"}).is_success
    job = bulk.json()["data"]["jobId"]
    until(lambda: account.get(f"jobs/{job}")["delivered"] == BULK, "all of them delivered", 90)
    for message_id in singles:
        account.wait_status(message_id, "delivered")
    counters = _counters(platform)
    assert counters["taken"] - taken == BULK + len(singles)
    assert counters["duplicates"] == 0
    back = until(lambda: (c := carrier(platform))["bound"] and c, "a carrier that is up again")
    assert back["queue"]["waiting"] == back["parked"]["held"] == 0


def _counters(platform: Platform) -> dict[str, Any]:
    return platform.handsets.http.get(f"{platform.handsets.base}/counters").json()


def _number(index: int) -> str:
    return f"+1212{5_550_000 + index}"
