"""A long backlog in the database at once, as if an account had sent it all before."""

from __future__ import annotations

from uuid import UUID

from tests.dispatch.bed import Bed

# Copies of one real text: only id and number differ. Ids ascend from now, as accepted ones do.
_COPY = """
WITH pattern AS (SELECT * FROM messages WHERE account_id = %(account)s AND outgoing
                 ORDER BY id DESC LIMIT 1),
made AS (
  SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
          || '7' || lpad(to_hex(n %% 4096), 3, '0') || '8'
          || substr(md5(n::text), 1, 15))::uuid AS id,
         '+1' || (7185000000 + n) AS mobile
  FROM generate_series(1, %(count)s) n),
written AS (
  INSERT INTO messages (account_id, id, job_id, contact_id, conversation_id, sender_id, sender,
      mobile, outgoing, status, message, encoding, segments, price_micros, created_at, updated_at)
  SELECT p.account_id, m.id, p.job_id, p.contact_id, p.conversation_id, p.sender_id, p.sender,
      m.mobile, true, 'queued', p.message, p.encoding, p.segments, p.price_micros, now(), now()
  FROM made m CROSS JOIN pattern p)
INSERT INTO dispatch_queue (account_id, message_id, lane_id, mobile, priority, not_before, segments)
SELECT p.account_id, m.id, p.sender_id, m.mobile, 1, now(), p.segments
FROM made m CROSS JOIN pattern p
"""


def fill_queue(bed: Bed, count: int, account_id: UUID | None = None) -> None:
    """Queue ``count`` texts like the last one that ``account_id`` sent, and wake its lane."""
    owner = account_id or bed.account_id
    with bed.pool.connection() as conn:
        done = conn.execute(_COPY, {"account": owner, "count": count})
        assert done.rowcount == count
        conn.execute(
            "UPDATE balances b SET available_micros = b.available_micros - u.price,"
            " reserved_micros = b.reserved_micros + u.price"
            " FROM (SELECT price_micros * %(count)s AS price FROM messages"
            "  WHERE account_id = %(account)s AND outgoing ORDER BY id DESC LIMIT 1) u"
            " WHERE b.account_id = %(account)s",
            {"account": owner, "count": count},
        )
        conn.execute(
            "UPDATE lanes SET active_until = now() + interval '5 minutes' WHERE account_id = %s",
            (owner,),
        )
