"""viesti/domain/messages: the duplicate guard, threads and consent of a send."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest

from tests.messaging_rig import HANDSET, Rig
from viesti.domain.contacts.models import MergeStrategy, ParsedContact
from viesti.domain.contacts.upsert import upsert_contacts
from viesti.kit.clock import utc_now

BLOCKED = ("error", "CONT-010")


def _codes(rig: Rig) -> list[str | None]:
    return [row[0] for row in rig.rows("SELECT error_code FROM messages ORDER BY id")]


# Scenario 8


def test_the_same_text_within_30_minutes_is_a_duplicate(rig: Rig) -> None:
    now = utc_now()
    rig.send("Same", now=now)
    rig.send("Same", now=now + timedelta(minutes=29, seconds=59))
    rig.send("Other", now=now)
    rig.send("Same", "+13475550142", now=now)
    assert _codes(rig) == [None, "MSG-024", None, None]
    rig.check_books()


def test_after_30_minutes_it_goes_out_again(rig: Rig) -> None:
    now = utc_now()
    rig.send("Same", now=now)
    rig.send("Same", now=now + timedelta(minutes=30, seconds=1))
    assert _codes(rig) == [None, None]


def test_of_parallel_equal_sends_one_passes(rig: Rig) -> None:
    barrier = threading.Barrier(5)

    def send() -> None:
        barrier.wait()
        rig.send("Same")

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(_codes(rig)) == {None: 1, "MSG-024": 4}
    assert rig.rows("SELECT count(*) FROM conversations") == [(1,)]
    rig.check_books()


# Threads


def test_reuse_joins_new_starts_another_existing_asks_for_one(rig: Rig) -> None:
    assert rig.send("0", strategy="existing").data["invalid"]
    rig.send("1")
    rig.send("2")
    rig.send("3", strategy="new")
    rig.send("4", strategy="existing")
    threads = [row[0] for row in rig.rows("SELECT conversation_id FROM messages ORDER BY id")]
    assert threads[0] == threads[1] != threads[2] == threads[3]
    assert rig.rows("SELECT count(*) FROM conversations WHERE closed_at IS NULL") == [(1,)]


@pytest.mark.parametrize("strategy", ["reuse", "new"])
def test_sends_and_replies_at_once_leave_one_open_conversation(rig: Rig, strategy: str) -> None:
    barrier = threading.Barrier(4)
    errors: list[BaseException] = []

    def act(n: int) -> None:
        barrier.wait()
        try:
            for m in range(3):
                if n % 2:
                    rig.text(f"In {n} {m}")
                else:
                    rig.send(f"Out {n} {m}", strategy=strategy)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=act, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rig.rows("SELECT count(*) FROM conversations WHERE closed_at IS NULL") == [(1,)]
    assert rig.rows("SELECT count(*) FROM contacts") == [(1,)]
    assert rig.rows("SELECT count(*) FROM messages") == [(12,)]
    rig.check_books()


# Scenario 7


@pytest.mark.parametrize("strategy", list(MergeStrategy))
def test_no_import_and_no_merge_lifts_an_opt_out(rig: Rig, strategy: MergeStrategy) -> None:
    rig.text("STOP")
    written = ParsedContact(
        HANDSET,
        "US",
        "Ann",
        "Lee",
        "",
        {"blocked": None},
        ("vip",),
        frozenset(("first_name", "last_name", "email", "attributes", "tags")),
    )
    with rig.pool.connection() as conn:
        upsert_contacts(conn, rig.account_id, [written], strategy, utc_now())
    assert rig.status(rig.send_one("Hello")) == BLOCKED


def test_a_blocked_text_costs_nothing_and_says_why(rig: Rig) -> None:
    rig.text("STOP")
    answer = rig.send("Hello").data
    assert answer["queued"] == 0
    assert answer["valid"] == 0
    assert answer["invalid"][0]["error"]["code"] == "CONT-010"
    assert answer["estimatedPrice"] == 0
    assert rig.events()[-1] == "message-status"
    rig.check_books()


# Refused texts


def test_a_refused_text_starts_no_conversation(rig: Rig) -> None:
    rig.run(
        "INSERT INTO opt_outs (account_id, mobile, at, source) VALUES (%s, %s, %s, 'keyword')",
        rig.account_id,
        HANDSET,
        utc_now(),
    )
    refused = rig.send("Hello").data["messages"][0]
    assert refused["error"]["code"] == "CONT-010"
    assert "conversation" not in refused
    assert rig.rows("SELECT 1 FROM conversations") == []


def test_a_refused_text_is_shown_in_the_conversation_that_is_open(rig: Rig) -> None:
    first = rig.send("Same").data["messages"][0]
    second = rig.send("Same").data["messages"][0]
    assert second["error"]["code"] == "MSG-024"
    assert second["conversation"] == first["conversation"]
