"""What a send does last meets other calls that began after it; and the order it tells events in."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from tests.messaging_rig import HANDSET, Rig
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.send import send_messages
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

WAIT_S = 10.0


class Interrupted(psycopg.Connection[Any]):
    """A connection that calls ``then`` before the statement that holds ``words``."""

    words = ""
    then: Callable[[], None] | None = None

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        if self.then is not None and self.words in str(query):
            then, self.then = self.then, None
            then()
        return super().execute(query, *args, **kwargs)


def send(rig: Rig, conn: psycopg.Connection[Any], text: str, first_name: str = "") -> SendAnswer:
    contact = ContactInput(mobile=HANDSET)
    if first_name:
        contact.first_name = first_name
    return send_messages(
        conn,
        rig.account_id,
        SendRequest(contacts=[contact], template=text),
        credential_id=new_id(),
        idempotency_key=None,
        body=b"",
        now=utc_now(),
    )


def test_marking_who_had_the_notice_waits_for_no_call_that_waits_for_this_one(
    rig: Rig, dsn: str
) -> None:
    rig.send_one("Before the account had a notice")
    with rig.pool.connection() as conn:
        conn.execute("UPDATE accounts SET notice = true")
    futures: list[Future[SendAnswer]] = []
    with (
        Interrupted.connect(dsn) as first,
        rig.pool.connection() as second,
        rig.pool.connection() as watcher,
        ThreadPoolExecutor(1) as thread,
    ):
        watcher.autocommit = True

        def meet() -> None:
            """The second call has changed the contact and waits for the conversation."""
            futures.append(thread.submit(send, rig, second, "Two", "Zoe"))
            deadline = time.monotonic() + WAIT_S
            blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            while watcher.execute(blocked, (second.info.backend_pid,)).fetchone() != (True,):
                assert time.monotonic() < deadline
                time.sleep(0.01)

        first.words, first.then = "SET noticed_at", meet
        one = send(rig, first, "Three")
        first.commit()
        two = futures[0].result(WAIT_S)
        second.commit()
    assert (one.data["queued"], two.data["queued"]) == (1, 1)


def test_the_events_of_a_conversation_each_have_their_own_sequence(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        conn.execute("UPDATE balances SET available_micros = 0")
    rig.send("No credit")
    moments: defaultdict[UUID, list[tuple[datetime, str]]] = defaultdict(list)
    with rig.pool.connection() as conn:
        for thread, at, kind in conn.execute(
            "SELECT conversation_id, created_at, type FROM events"
            " WHERE conversation_id IS NOT NULL ORDER BY created_at, type"
        ):
            moments[thread].append((at, kind))
    (told,) = moments.values()
    assert [kind for _, kind in told] == ["conversation-started", "message-status"]
    assert told[0][0] < told[1][0]
