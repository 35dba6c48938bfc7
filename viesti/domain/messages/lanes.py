"""Finds lanes whose texts have come due while nobody served them; called by housekeeping.

Whoever queues a text marks its lane for some minutes. A text that waits longer (for quiet hours
to end, behind a carrier that was down) needs its lane marked again when its time has come.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.domain.messages.store import activate_lanes

_DUE = """
SELECT l.lane_id FROM unnest(%(owners)s::uuid[], %(lanes)s::uuid[]) AS l(account_id, lane_id)
WHERE EXISTS (SELECT 1 FROM dispatch_queue d WHERE d.account_id = ANY(%(accounts)s)
    AND d.account_id = l.account_id AND d.lane_id = l.lane_id AND d.priority = ANY('{0,1}')
    AND d.not_before <= %(now)s)
"""


def sweep_lanes(conn: psycopg.Connection, now: datetime) -> bool:
    """Mark lanes that have due texts and no mark; dispatch finds them at its next look."""
    idle: dict[UUID, UUID] = {
        row[0]: row[1]
        for row in conn.execute(
            "SELECT sender_id, account_id FROM lanes WHERE active_until IS NULL"
            " OR active_until < %s",
            (now,),
        )
    }
    due: list[UUID] = []
    for group in placement(idle.values()):
        its = [(account, lane) for lane, account in idle.items() if account in group]
        rows = conn.execute(
            _DUE,
            {
                "accounts": list(group),
                "owners": [account for account, _ in its],
                "lanes": [lane for _, lane in its],
                "now": now,
            },
        ).fetchall()
        due += [row[0] for row in rows]
    activate_lanes(conn, sorted(due), now)
    return False
