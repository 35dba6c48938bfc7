"""Texts under fire: roles killed, the database restarted, the carrier's connection cut."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests.flows.conftest import Platform, start_platform
from tests.flows.rig import Account, Receiver, until
from viesti.db.embedded import Layout

CALLS = 50
PER_CALL = 100
ENDS = {"delivered", "error", "held"}
WINDOW = 100


@pytest.fixture
def fire() -> Generator[Platform]:
    """A platform of its own: what happens here is nobody else's business."""
    yield from start_platform(rate_limit_per_s=0, webhook_retry_scale=0.01)


def _role(platform: Platform, name: str) -> int | None:
    for child in psutil.Process(platform.process.pid).children():
        line = child.cmdline()
        if line and line[-1] == name:
            return child.pid
    return None


def _kill(platform: Platform, name: str) -> None:
    pid = until(lambda: _role(platform, name), f"a running {name}", 30)
    os.kill(pid, signal.SIGKILL)


def _restart_database(platform: Platform) -> None:
    for child in psutil.Process(platform.process.pid).children():
        if child.name() == "postgres":
            child.send_signal(signal.SIGINT)  # a fast shutdown


def _cut(platform: Platform) -> None:
    """The SMSC takes three more submits without answering, then hangs up."""
    body = {"when": "before_answer", "after": 3, "taken": True}
    platform.handsets.http.post(f"{platform.handsets.base}/drop", json=body)


def _patiently(work: Callable[[], httpx.Response]) -> dict[str, Any]:
    """As a careful client does: the same request with the same key until it is answered."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = work()
            if answer.status_code == 200:
                return answer.json()["data"]
            assert answer.status_code in (409, 429, 500, 502, 503), answer.text
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the API did not come back"
        time.sleep(0.2)


@pytest.mark.kill
def test_nothing_is_lost_and_nothing_leaves_twice(fire: Platform, receiver: Receiver) -> None:
    account = fire.account("--balance", "1000")
    other = fire.account()
    assert account.call(
        "POST",
        "webhooks",
        {"url": receiver.url, "eventTypes": ["message-sent", "message-status"]},
    ).is_success

    accepted: list[str] = []
    singles: dict[str, float] = {}  # number -> when the API had accepted its text
    sending = threading.Event()
    sending.set()

    def send_singles() -> None:
        number = 0
        while sending.is_set():
            number += 1
            _send(other, f"single-{number}", [_number(9, number)])
            singles[_number(9, number)] = time.time()
            time.sleep(0.25)

    thread = threading.Thread(target=send_singles)
    thread.start()
    attacks = {
        5: lambda: _kill(fire, "dispatch"),
        10: lambda: _cut(fire),
        15: lambda: _kill(fire, "api"),
        20: lambda: _kill(fire, "dispatch"),
        26: lambda: _restart_database(fire),
        34: lambda: _cut(fire),
        40: lambda: _kill(fire, "dispatch"),
        44: lambda: _kill(fire, "api"),
    }
    for call in range(CALLS):
        if call in attacks:
            attacks[call]()
        numbers = [_number(1 + call // 100, call * PER_CALL + i) for i in range(PER_CALL)]
        accepted.append(_send(account, f"call-{call}", numbers))
        time.sleep(0.2)
    sending.clear()
    thread.join()

    dsn = Layout(fire.settings.data_dir.absolute()).dsn()

    def settled() -> Counter[str] | None:
        with psycopg.connect(dsn) as conn:
            rows = conn.execute(
                "SELECT status, count(*)::int FROM messages WHERE outgoing GROUP BY status"
            ).fetchall()
        counts = Counter(dict(rows))
        return counts if set(counts) <= ENDS else None

    counts = until(settled, "every text at its end", 120)
    network = fire.handsets.http.get(f"{fire.handsets.base}/counters").json()
    total = CALLS * PER_CALL + len(singles) + 1  # and the demo's own text
    with psycopg.connect(dsn) as conn:
        queued = conn.execute("SELECT count(*) FROM dispatch_queue").fetchone()
        early = conn.execute(
            "SELECT count(*) FROM message_segments WHERE message_id IS NULL"
        ).fetchone()
        money = conn.execute(
            "SELECT b.available_micros + b.reserved_micros"
            " - (SELECT sum(l.amount_micros) FROM ledger l WHERE l.account_id = b.account_id)"
            " FROM balances b"
        ).fetchall()
        errors = conn.execute(
            "SELECT error_code, count(*) FROM messages WHERE status = 'error' GROUP BY 1"
        ).fetchall()
        changes = conn.execute(
            "SELECT id::text, status FROM messages WHERE account_id = %s AND outgoing",
            (account.account_id,),
        ).fetchall()
    waits = sorted(
        datetime.fromisoformat(fire.handsets.submits_to(number)[0]["at"]).timestamp() - at
        for number, at in singles.items()
        if fire.handsets.submits_to(number)
    )
    print(
        f"\n{'accepted':>24} {total}"
        + "".join(f"\n{status:>24} {count}" for status, count in sorted(counts.items()))
        + f"\n{'taken by the SMSC':>24} {network['taken']}"
        + f"\n{'taken twice':>24} {network['duplicates']}"
        + f"\n{'receipts without text':>24} {early[0] if early else '?'}"
        + f"\n{'single texts':>24} {len(singles)}"
        + f"\n{'their longest waits, s':>24} {[round(wait, 2) for wait in waits[-6:]]}"
    )
    assert sum(counts.values()) == total
    # Not a speed but a promise: the standby takes over where a killed dispatcher stood.
    assert len(waits) == len(singles)
    assert waits[int(0.9 * len(waits))] < 1.0
    assert network["duplicates"] == 0
    assert queued == (0,)
    assert early == (0,)
    assert errors == []
    assert {row[0] for row in money} == {0}
    # Three kills and two cuts of the connection, and a database that was away.
    assert counts["held"] <= 6 * WINDOW
    until(
        lambda: (
            {(e["id"], e["status"]) for e in receiver.of("message-status")}
            >= {(id_, status) for id_, status in changes if status == "delivered"}
        ),
        "every event at its webhook",
        60,
    )


def _number(area: int, index: int) -> str:
    return f"+1212{200 + area * 60 + index // 10_000}{index % 10_000:04d}"


def _send(account: Account, key: str, numbers: list[str]) -> str:
    body = {"contacts": [{"mobile": number} for number in numbers], "template": f"Text {key}"}
    answer = _patiently(
        lambda: account.call("POST", "messages", body, headers={"Idempotency-Key": key})
    )
    assert answer["valid"] == len(numbers), answer["invalid"][:3]
    return answer["jobId"]
