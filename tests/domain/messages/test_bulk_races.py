"""Bulk calls that meet: what one of them tried as new is there when the other commits first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from msgspec import UNSET, UnsetType

from tests.messaging_rig import Rig
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.queries import get_message
from viesti.domain.messages.send import send_messages
from viesti.domain.messages.views import message_view
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

MANY = 300  # enough for COPY, and for a thread that stores contacts beside the drafts
NUMBERS = [f"+1347555{number:04d}" for number in range(2_000, 2_000 + MANY)]
WAIT_S = 10.0


@pytest.fixture(autouse=True)
def _money(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        conn.execute("UPDATE balances SET available_micros = %s", (10**9,))


def send(
    rig: Rig, conn: psycopg.Connection, text: str, name: str | UnsetType = UNSET
) -> SendAnswer:
    contacts = [ContactInput(mobile=number, first_name=name) for number in NUMBERS]
    request = SendRequest(contacts=contacts, template=text)
    return send_messages(
        conn,
        rig.account_id,
        request,
        credential_id=new_id(),
        idempotency_key=None,
        body=b"",
        now=utc_now(),
    )


def meet(
    rig: Rig,
    first_text: str,
    second_text: str,
    name: str | UnsetType = UNSET,
    opted_out: Sequence[str] = (),
) -> tuple[SendAnswer, SendAnswer]:
    """The first call commits while the second waits for what the first has written.

    The first knows everybody's ``name``; ``opted_out`` opt out in its transaction.
    """
    with (
        rig.pool.connection() as first,
        rig.pool.connection() as second,
        rig.pool.connection() as watcher,
        ThreadPoolExecutor(1) as thread,
    ):
        watcher.autocommit = True
        one = send(rig, first, first_text, name)
        for number in opted_out:
            first.execute(
                "INSERT INTO opt_outs (account_id, mobile, at, source) VALUES (%s, %s, %s, 'keyword')",
                (rig.account_id, number, utc_now()),
            )
        pid = second.info.backend_pid
        future = thread.submit(send, rig, second, second_text)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and not future.done():
            row = watcher.execute(
                "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", (pid,)
            ).fetchone()
            if row == ("Lock",):
                break
            time.sleep(0.01)
        assert not future.done()
        first.commit()
        two = future.result(WAIT_S)
        second.commit()
        watcher.autocommit = False
        return one, two


def count(rig: Rig, table: str) -> int:
    with rig.pool.connection() as conn:
        row = conn.execute(
            f"SELECT count(*) FROM {table} WHERE account_id = %s".encode(), (rig.account_id,)
        ).fetchone()
        assert row
        return row[0]


def test_the_same_new_people_become_one_contact_and_one_conversation_each(rig: Rig) -> None:
    one, two = meet(rig, "One", "Two")
    assert (one.data["queued"], two.data["queued"]) == (MANY, MANY)
    assert count(rig, "contacts") == MANY
    assert count(rig, "conversations") == MANY
    assert count(rig, "messages") == 2 * MANY
    assert count(rig, "dispatch_queue") == 2 * MANY


def test_a_text_is_made_of_what_the_other_call_stored(rig: Rig) -> None:
    _, two = meet(rig, "One", "Hello {{firstName}}", name="Ada", opted_out=NUMBERS[:2])
    assert two.data["queued"] == MANY - 2
    assert {entry["error"]["code"] for entry in two.data["invalid"]} == {"CONT-010"}
    assert {message["message"] for message in two.data["messages"]} == {"Hello Ada"}
    assert count(rig, "contacts") == MANY


def test_the_same_text_to_the_same_people_passes_once(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        send(rig, conn, "Before, so that the contacts are known")
    one, two = meet(rig, "Same", "Same")
    assert (one.data["queued"], two.data["queued"]) == (MANY, 0)
    assert {entry["error"]["code"] for entry in two.data["invalid"]} == {"MSG-024"}


def test_the_answer_shows_the_texts_as_a_later_look_does(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        shown = send(rig, conn, "Hello {{firstName}}").data["messages"]
    with rig.pool.connection() as conn:
        assert shown[7] == message_view(get_message(conn, rig.account_id, shown[7]["id"]))
