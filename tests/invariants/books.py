"""What must be true of the database at any instant, whoever is killed: texts and money add up.

Asked in one snapshot, so that it may be asked in the middle of everything.
"""

from __future__ import annotations

import psycopg

# Each text is in exactly the place that its status names.
_MISPLACED = """
SELECT m.status, q.message_id IS NOT NULL AS queued, p.message_id IS NOT NULL AS parked, count(*)
FROM messages m
LEFT JOIN dispatch_queue q ON q.account_id = m.account_id AND q.message_id = m.id
LEFT JOIN parked_messages p ON p.account_id = m.account_id AND p.message_id = m.id
WHERE m.outgoing
  AND ((q.message_id IS NOT NULL) <> (m.status IN ('queued', 'scheduled'))
    OR (p.message_id IS NOT NULL) <> (m.status IN ('held', 'suspended')))
GROUP BY 1, 2, 3
"""
_LOST = """
SELECT count(*) FROM (SELECT account_id, message_id FROM dispatch_queue
                      UNION ALL SELECT account_id, message_id FROM parked_messages) w
WHERE NOT EXISTS (SELECT 1 FROM messages m
                  WHERE m.account_id = w.account_id AND m.id = w.message_id)
"""
# The ledger is the balance; what is reserved is the price of what may still leave; what was
# charged is the price of what the carrier took; and nobody owes anything for texts sent.
_MONEY = """
SELECT b.account_id, b.available_micros, b.reserved_micros,
  (SELECT COALESCE(sum(l.amount_micros), 0) FROM ledger l WHERE l.account_id = b.account_id),
  (SELECT COALESCE(sum(m.price_micros), 0) FROM messages m WHERE m.account_id = b.account_id
    AND m.outgoing AND m.status IN ('queued', 'scheduled', 'held')
    AND m.sent_segments < m.segments),
  (SELECT COALESCE(-sum(l.amount_micros), 0) FROM ledger l WHERE l.account_id = b.account_id
    AND l.kind = 'sent'),
  (SELECT COALESCE(sum(m.price_micros), 0) FROM messages m WHERE m.account_id = b.account_id
    AND m.outgoing AND m.sent_segments >= m.segments)
FROM balances b
"""


def find_wrongs(conn: psycopg.Connection) -> list[str]:
    """Every sentence that should not be true now; ``conn`` must not be in a transaction."""
    wrongs: list[str] = []
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for status, is_queued, is_parked, count in conn.execute(_MISPLACED):
            wrongs.append(f"{count} texts {status} with queue {is_queued} and parked {is_parked}")
        lost = conn.execute(_LOST).fetchone()
        if lost != (0,):
            wrongs.append(f"places of no text: {lost}")
        for account, available, reserved, booked, open_, charged, taken in conn.execute(_MONEY):
            if booked != available + reserved:
                wrongs.append(f"{account}: ledger {booked}, balance {available} + {reserved}")
            if reserved != open_:
                wrongs.append(f"{account}: reserved {reserved} for texts of {open_}")
            if charged != taken:
                wrongs.append(f"{account}: charged {charged} for texts of {taken}")
            if available < 0:
                wrongs.append(f"{account}: available {available}")
    return wrongs
