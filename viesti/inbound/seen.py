"""Tells a redelivered text from a second equal one; used by ``texts`` and the handler.

The rule (design, section 2): the same source, destination and bytes that arrive after a
connection was lost, within 10 minutes, while the earlier acknowledgement is not known to have
arrived, are one text; else they are two.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

REDELIVERY_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An inbound PDU as it is compared; ``id`` stays the same when a commit is tried again."""

    id: UUID
    session_id: UUID
    sender_id: UUID
    mobile: str
    hash: bytes


def hash_payload(payload: bytes, data_coding: int, *, has_udh: bool) -> bytes:
    """16 octets that are equal for equal payloads alone."""
    head = bytes((data_coding & 0xFF, has_udh))
    return hashlib.blake2b(head + payload, digest_size=16).digest()


def find_fresh(
    conn: psycopg.Connection,
    account_id: UUID,
    sightings: Sequence[Sighting],
    live_sessions: Set[UUID],
    now: datetime,
) -> set[UUID]:
    """Ids of those of ``sightings`` that are texts of their own; all are remembered.

    ``live_sessions`` are connections known to stand: only what came on others comes again.
    The caller holds the contacts' rows, so that a text and its redelivery on another
    connection do not pass each other.
    """
    known = {
        row[0]
        for row in conn.execute(
            "SELECT id FROM inbound_seen WHERE account_id = %s AND id = ANY(%s)",
            (account_id, [sighting.id for sighting in sightings]),
        )
    }
    new = list(
        {sighting.id: sighting for sighting in sightings if sighting.id not in known}.values()
    )
    if not new:
        return set()
    unproven = _find_unproven(conn, account_id, new, now)
    fresh: set[UUID] = set()
    repeated: list[UUID] = []
    for sighting in new:
        key = (sighting.sender_id, sighting.mobile, sighting.hash)
        earlier = next(
            (
                entry
                for entry in unproven[key]
                if entry[1] != sighting.session_id and entry[1] not in live_sessions
            ),
            None,
        )
        if earlier is None:
            fresh.add(sighting.id)
        else:
            # It has come again: a further equal text is not this one's redelivery.
            unproven[key].remove(earlier)
            repeated.append(earlier[0])
        unproven[key].append((sighting.id, sighting.session_id))
    _remember(conn, account_id, new, now)
    acknowledge(conn, account_id, repeated, now)
    return fresh


def acknowledge(
    conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID], now: datetime
) -> None:
    """From now on nothing is taken for a redelivery of ``ids``."""
    if ids:
        conn.execute(
            "UPDATE inbound_seen SET acknowledged_at = %s"
            " WHERE account_id = %s AND id = ANY(%s) AND acknowledged_at IS NULL",
            (now, account_id, list(ids)),
        )


_Key = tuple[UUID, str, bytes]


def _find_unproven(
    conn: psycopg.Connection, account_id: UUID, sightings: Sequence[Sighting], now: datetime
) -> defaultdict[_Key, list[tuple[UUID, UUID]]]:
    """By what is compared: (id, session) of earlier sightings, the oldest first."""
    found: defaultdict[_Key, list[tuple[UUID, UUID]]] = defaultdict(list)
    for id_, session_id, sender_id, mobile, digest in conn.execute(
        "SELECT s.id, s.session_id, s.sender_id, s.mobile, s.payload_hash FROM inbound_seen s"
        " WHERE s.account_id = %(account)s AND s.received_at > %(since)s"
        " AND s.acknowledged_at IS NULL AND (s.sender_id, s.mobile, s.payload_hash) IN ("
        "  SELECT * FROM unnest(%(senders)s::uuid[], %(mobiles)s::text[], %(hashes)s::bytea[]))"
        " ORDER BY s.id",
        {
            "account": account_id,
            "since": now - REDELIVERY_WITHIN,
            "senders": [sighting.sender_id for sighting in sightings],
            "mobiles": [sighting.mobile for sighting in sightings],
            "hashes": [sighting.hash for sighting in sightings],
        },
    ):
        found[sender_id, mobile, bytes(digest)].append((id_, session_id))
    return found


def _remember(
    conn: psycopg.Connection, account_id: UUID, sightings: Sequence[Sighting], now: datetime
) -> None:
    conn.execute(
        "INSERT INTO inbound_seen (account_id, id, sender_id, mobile, payload_hash, session_id,"
        " received_at) SELECT %(account)s, u.id, u.sender_id, u.mobile, u.hash, u.session_id,"
        " %(now)s FROM unnest(%(ids)s::uuid[], %(senders)s::uuid[], %(mobiles)s::text[],"
        "   %(hashes)s::bytea[], %(sessions)s::uuid[])"
        "   AS u(id, sender_id, mobile, hash, session_id)",
        {
            "account": account_id,
            "now": now,
            "ids": [sighting.id for sighting in sightings],
            "senders": [sighting.sender_id for sighting in sightings],
            "mobiles": [sighting.mobile for sighting in sightings],
            "hashes": [sighting.hash for sighting in sightings],
            "sessions": [sighting.session_id for sighting in sightings],
        },
    )
