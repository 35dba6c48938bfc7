"""Texts under fire: roles killed, the database restarted, the carrier's connection cut.

FIRE_ROUNDS lengthens it: each round is 5,000 texts and every blow once more.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Generator
from itertools import pairwise

import psycopg
import pytest

from tests.flows.conftest import Platform, start_platform
from tests.flows.fire import Auditor, Fire, NetworkLog, patiently
from tests.flows.rig import Account, Receiver, until

ROUNDS = int(os.environ.get("FIRE_ROUNDS", "1"))
CALLS = 50  # a round
PER_CALL = 100
ENDS = {"delivered", "error", "held"}
# By the last digits of a handset: receipts that overtake their answer by half a second, and
# receipts that say no.
EARLY, UNDELIVERABLE = "*7", "*13"


@pytest.fixture
def platform() -> Generator[Platform]:
    """A platform of its own: what happens here is nobody else's business."""
    yield from start_platform(rate_limit_per_s=0, webhook_retry_scale=0.01)


@pytest.mark.kill
def test_nothing_is_lost_and_nothing_leaves_twice(platform: Platform, receiver: Receiver) -> None:
    fire, log = Fire(platform), NetworkLog(platform)
    account, other = platform.account("--balance", "1000000"), platform.account()
    assert account.call(
        "POST",
        "webhooks",
        {"url": receiver.url, "eventTypes": ["message-sent", "message-status"]},
    ).is_success
    patterns = {EARLY: "early_receipt", UNDELIVERABLE: "undeliverable"}
    rules = {"patterns": {glob: {"preset": preset} for glob, preset in patterns.items()}}
    assert platform.handsets.http.put(f"{platform.handsets.base}/behaviour", json=rules).is_success

    jobs: list[str] = []
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

    auditor = Auditor(fire.dsn, lambda: len(jobs) * PER_CALL + len(singles))
    thread = threading.Thread(target=send_singles)
    thread.start()
    blows = {
        # Its successor keeps house only when its lease of a minute has ended, so it goes first.
        1: lambda: fire.kill("work"),
        5: lambda: fire.kill("dispatch"),
        10: fire.cut_before_answer,
        13: fire.cut_before_acknowledgement,
        15: lambda: fire.kill("api"),
        20: lambda: fire.kill("dispatch"),
        26: fire.restart_database,
        34: fire.cut_before_answer,
        37: fire.cut_before_acknowledgement,
        40: lambda: fire.kill("dispatch"),
        44: lambda: fire.kill("api"),
    }
    moments = [time.monotonic()]
    for call in range(ROUNDS * CALLS):
        if call % CALLS in blows:
            blows[call % CALLS]()
        if call % CALLS == 0:
            log.read()
        numbers = [_number(1, call * PER_CALL + i) for i in range(PER_CALL)]
        jobs.append(_send(account, f"call-{call}", numbers))
        time.sleep(0.2)
    sending.clear()
    thread.join()
    moments.append(time.monotonic())

    def told() -> bool:
        """Whether the database says of each text what its receipt said."""
        log.read()
        with psycopg.connect(fire.dsn) as conn:
            rows = conn.execute("SELECT mobile, status FROM messages WHERE outgoing").fetchall()
        known = {(mobile, status) for mobile, status in rows}
        return {status for _, status in rows} <= ENDS and all(
            (text.handset, "delivered" if text.state == "DELIVRD" else "error") in known
            for text in log.taken.values()
        )

    until(told, "every text at its end, as its receipt says", 120)
    moments.append(time.monotonic())
    auditor.close()
    network = platform.handsets.http.get(f"{platform.handsets.base}/counters").json()
    total = ROUNDS * CALLS * PER_CALL + len(singles) + 1  # and the demo's own text
    with psycopg.connect(fire.dsn) as conn:
        rows = conn.execute(
            "SELECT mobile, status, error_code FROM messages WHERE outgoing"
        ).fetchall()
        by_job = conn.execute(
            "SELECT job_id::text, count(*) FROM messages WHERE account_id = %s AND outgoing"
            " GROUP BY 1",
            (account.account_id,),
        ).fetchall()
        queued = conn.execute("SELECT count(*) FROM dispatch_queue").fetchone()
        early = conn.execute(
            "SELECT count(*) FROM message_segments WHERE message_id IS NULL"
        ).fetchone()
        events = {
            row[0]
            for row in conn.execute(
                "SELECT id::text FROM events WHERE account_id = %s", (account.account_id,)
            )
        }
    counts = Counter(row[1] for row in rows)
    held = {mobile for mobile, status, _ in rows if status == "held"}
    waits = sorted(log.arrived[number] - at for number, at in singles.items() if number not in held)
    until(lambda: events <= set(receiver.ids), "every event at its webhook", 60)
    moments.append(time.monotonic())
    again = sum(len(text.receipts) > 1 for text in log.taken.values())
    overtook = sum(text.overtook for text in log.taken.values())
    table = {
        "accepted": total,
        **dict(sorted(counts.items())),
        "taken by the SMSC": network["taken"],
        "taken twice": network["duplicates"],
        "receipts sent again": again,
        "receipts before their answer": overtook,
        "receipts without text": early[0] if early else "?",
        **{f"in flight at {blow}": count for blow, count in fire.in_flight.items()},
        "events": len(events),
        "events that arrived": len(set(receiver.ids) & events),
        "of these more than once": sum(n > 1 for n in Counter(receiver.ids).values()),
        "looks at the books": auditor.looks,
        "single texts": len(singles),
        "their longest waits, s": [round(wait, 2) for wait in waits[-6:]],
        "sending, ending, telling, s": [round(b - a) for a, b in pairwise(moments)],
    }
    print("".join(f"\n{name:>48} {value}" for name, value in table.items()))

    assert auditor.wrongs == []
    assert auditor.looks > 10
    assert sum(counts.values()) == total
    assert dict(by_job) == dict.fromkeys(jobs, PER_CALL)
    # Nothing twice, by the SMSC's own count and by its log.
    assert network["duplicates"] == 0
    assert len({text.handset for text in log.taken.values()}) == len(log.taken)
    assert network["taken"] == len(log.taken)
    # Every receipt is applied: those that came again, and those that overtook their answer.
    ends = {mobile: (status, code) for mobile, status, code in rows}
    assert again > 0
    assert overtook > 0
    for text in log.taken.values():
        wanted = ("delivered", None) if text.state == "DELIVRD" else ("error", "MSG-019")
        assert ends[text.handset] == wanted
    assert queued == (0,)
    assert early == (0,)
    # What is held never reached the SMSC, and was in flight when something broke.
    taken = {text.handset for text in log.taken.values()}
    assert held == set(ends) - taken
    assert counts["held"] <= sum(fire.in_flight.values())
    # Every change that was subscribed to has its event.
    assert len(events) >= 2 * (counts["delivered"] - len(singles))
    # Not a speed but a promise: the standby takes over where a killed dispatcher stood.
    assert waits[int(0.9 * len(waits))] < 1.0


def _number(area: int, index: int) -> str:
    return f"+1212{200 + area * 60 + index // 10_000}{index % 10_000:04d}"


def _send(account: Account, key: str, numbers: list[str]) -> str:
    body = {"contacts": [{"mobile": number} for number in numbers], "template": f"Text {key}"}
    answer = patiently(
        lambda: account.call("POST", "messages", body, headers={"Idempotency-Key": key})
    )
    assert answer["valid"] == len(numbers), answer["invalid"][:3]
    return answer["jobId"]
