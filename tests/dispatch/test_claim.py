"""Reading due texts behind a cursor: nothing twice, nothing lost, late commits found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from tests.messaging_rig import Rig
from viesti.dispatch.claim import Cursor, Read, read_due
from viesti.dispatch.texts import Text
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id


def add(
    conn: psycopg.Connection,
    rig: Rig,
    *,
    priority: int = 1,
    not_before: datetime | None = None,
    lane_id: UUID | None = None,
    message_id: UUID | None = None,
) -> UUID:
    id_ = message_id or new_id()
    conn.execute(
        "INSERT INTO dispatch_queue (account_id, message_id, lane_id, mobile, priority,"
        " not_before, segments) VALUES (%s, %s, %s, %s, %s, %s, 1)",
        (
            rig.account_id,
            id_,
            lane_id or rig.lane_id,
            f"+1347{id_.int % 10**7:07d}",
            priority,
            not_before or utc_now(),
        ),
    )
    return id_


def read(rig: Rig, cursor: Cursor, quota: int = 100, now: datetime | None = None) -> list[Text]:
    with rig.pool.connection() as conn:
        return read_due(conn, [Read(cursor, quota)], now or utc_now())


def ids(texts: Sequence[Text]) -> list[UUID]:
    return [text.message_id for text in texts]


def test_batches_follow_each_other_without_gap_or_repeat(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        moment = utc_now()
        # One moment for many: the id decides then.
        added = [add(conn, rig, not_before=moment) for _ in range(25)]
    cursor = Cursor(rig.account_id, rig.lane_id, 1)
    found = [ids(read(rig, cursor, 10)) for _ in range(4)]
    assert [len(batch) for batch in found] == [10, 10, 5, 0]
    assert [one for batch in found for one in batch] == sorted(added)


def test_what_is_committed_later_with_an_earlier_time_is_found_by_a_reread(
    rig: Rig, dsn: str
) -> None:
    cursor = Cursor(rig.account_id, rig.lane_id, 1)
    with psycopg.connect(dsn) as slow:
        late = add(slow, rig)
        with rig.pool.connection() as conn:
            early = add(conn, rig)
        assert ids(read(rig, cursor)) == [early]
        slow.commit()
    assert read(rig, cursor) == []
    cursor.rewind()
    assert ids(read(rig, cursor)) == sorted([late, early])


def test_a_look_back_reads_only_the_last_moments(rig: Rig) -> None:
    now = utc_now()
    with rig.pool.connection() as conn:
        add(conn, rig, not_before=now - timedelta(minutes=5))
        recent = add(conn, rig, not_before=now - timedelta(seconds=2))
    cursor = Cursor(rig.account_id, rig.lane_id, 1)
    assert len(read(rig, cursor)) == 2
    cursor.rewind(cursor.at[0] - timedelta(seconds=5))
    assert ids(read(rig, cursor)) == [recent]


def test_a_text_is_read_when_its_time_has_come(rig: Rig) -> None:
    now = utc_now()
    with rig.pool.connection() as conn:
        add(conn, rig, not_before=now + timedelta(hours=1))
    cursor = Cursor(rig.account_id, rig.lane_id, 1)
    assert read(rig, cursor) == []
    assert len(read(rig, cursor, now=now + timedelta(hours=2))) == 1


def test_what_is_under_way_is_not_read_and_what_is_half_answered_is(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        under_way, half = add(conn, rig), add(conn, rig)
        conn.execute(
            "UPDATE dispatch_queue SET started = 1, segments = 2 WHERE message_id = %s",
            (under_way,),
        )
        conn.execute(
            "UPDATE dispatch_queue SET started = 1, answered = 1, segments = 2"
            " WHERE message_id = %s",
            (half,),
        )
    (found,) = read(rig, Cursor(rig.account_id, rig.lane_id, 1))
    assert (found.message_id, found.started, found.answered) == (half, 1, 1)
    assert found.next_mask(5) == 0b10


def test_one_call_reads_several_lanes_and_priorities_each_to_its_quota(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        other = rig.add_sender(conn, "+12025550199")
        for _ in range(5):
            for priority in (0, 1):
                for lane_id in (rig.lane_id, other):
                    add(conn, rig, priority=priority, lane_id=lane_id)
    reads = [
        Read(Cursor(rig.account_id, rig.lane_id, 0), 2),
        Read(Cursor(rig.account_id, rig.lane_id, 1), 3),
        Read(Cursor(rig.account_id, other, 1), 10),
    ]
    with rig.pool.connection() as conn:
        found = read_due(conn, reads, utc_now())
    counts = [
        sum(1 for text in found if (text.lane_id, text.priority) == key)
        for key in [(rig.lane_id, 0), (rig.lane_id, 1), (other, 0), (other, 1)]
    ]
    assert counts == [2, 3, 0, 5]
