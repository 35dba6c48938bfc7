"""Invariant 6: at most one conversation is open for a sender and a contact, at any instant."""

from __future__ import annotations

import random
import threading

import psycopg

from tests.messaging_rig import HANDSET, Rig
from viesti.domain.conversations.service import close_conversation
from viesti.kit.clock import utc_now

MOST = """
SELECT COALESCE(max(n), 0) FROM (
  SELECT count(*) AS n FROM conversations WHERE closed_at IS NULL GROUP BY sender_id, contact_id) c
"""
ACTORS, ACTS = 4, 15


def test_opening_closing_sending_and_receiving_at_once_leave_one_open(rig: Rig, dsn: str) -> None:
    errors: list[BaseException] = []
    most: list[int] = []
    done = threading.Event()
    barrier = threading.Barrier(ACTORS)
    sent = received = 0
    count = threading.Lock()

    def act(number: int) -> None:
        nonlocal sent, received
        chance = random.Random(number)
        barrier.wait()
        for n in range(ACTS):
            what = chance.choice(["in", "in", "reuse", "new", "close"])
            if what == "in":
                rig.text(f"In {number} {n}")
                with count:
                    received += 1
            elif what == "close":
                for (found,) in rig.rows("SELECT id FROM conversations WHERE closed_at IS NULL"):
                    with rig.pool.connection() as conn:
                        close_conversation(conn, rig.account_id, str(found), utc_now())
            else:
                rig.send(f"Out {number} {n}", strategy=what)
                with count:
                    sent += 1

    def guarded(number: int) -> None:
        try:
            act(number)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    def look() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            while not done.is_set():
                row = conn.execute(MOST).fetchone()
                most.append(row[0] if row else 0)

    looking = threading.Thread(target=look)
    looking.start()
    actors = [threading.Thread(target=guarded, args=(n,)) for n in range(ACTORS)]
    for actor in actors:
        actor.start()
    for actor in actors:
        actor.join()
    done.set()
    looking.join()

    assert errors == []
    assert max(most) == 1
    assert rig.rows("SELECT count(*) FROM contacts WHERE mobile = %s", HANDSET) == [(1,)]
    # Nothing that was said is lost, and each text stands in a conversation of its own account.
    assert dict(rig.rows("SELECT outgoing, count(*) FROM messages GROUP BY 1")) == {
        True: sent,
        False: received,
    }
    assert rig.rows(
        "SELECT count(*) FROM messages m WHERE NOT EXISTS"
        " (SELECT 1 FROM conversations c WHERE c.account_id = m.account_id"
        "  AND c.id = m.conversation_id AND c.contact_id = m.contact_id)"
    ) == [(0,)]
