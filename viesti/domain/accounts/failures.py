"""Counts failed sign-ins, by client address and by client id, for the brute-force limit.

Called by the token endpoint. Only failures are written, so a client that knows its secret
costs the database nothing here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

WINDOW = timedelta(minutes=5)
MAX_BY_ADDRESS = 20
# Higher, so that a stranger at one address cannot lock out a client whose id it knows.
MAX_BY_CLIENT = 100
# The part of an IPv6 address that one customer is given (RFC 6177).
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Failures:
    """How often ``subject`` failed in the window that began at ``since``."""

    subject: str
    failures: int
    since: datetime

    def blocked_for_s(self, now: datetime) -> float:
        """Seconds until another try is let through; 0: now."""
        limit = MAX_BY_ADDRESS if self.subject.startswith("address:") else MAX_BY_CLIENT
        left_s = (self.since + WINDOW - now).total_seconds()
        return max(0.0, left_s) if self.failures >= limit else 0.0


def address_subject(address: str) -> str:
    """The subject of a client address; all of one IPv6 customer's are one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "address:unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False)}"
    return f"address:{parsed}"


def client_subject(client_id: UUID | None) -> str:
    return f"client:{client_id}" if client_id is not None else "client:unknown"


def load_failures(
    conn: psycopg.Connection, subjects: Sequence[str], now: datetime
) -> dict[str, Failures]:
    """The failures of ``subjects`` in windows that are not over."""
    rows = conn.execute(
        "SELECT subject, failures, window_started_at FROM auth_failures"
        " WHERE subject = ANY(%s) AND window_started_at > %s",
        (list(subjects), now - WINDOW),
    ).fetchall()
    return {row[0]: Failures(*row) for row in rows}


def record_failure(
    conn: psycopg.Connection, subjects: Sequence[str], now: datetime
) -> dict[str, Failures]:
    """Count one failure for each of ``subjects``; returns their counts."""
    rows = conn.execute(
        "INSERT INTO auth_failures AS f (subject, failures, window_started_at)"
        " SELECT u.subject, 1, %(now)s FROM unnest(%(subjects)s::text[]) AS u(subject)"
        " ORDER BY u.subject"
        " ON CONFLICT (subject) DO UPDATE SET"
        "  failures = CASE WHEN f.window_started_at > %(over)s THEN f.failures + 1 ELSE 1 END,"
        "  window_started_at = CASE WHEN f.window_started_at > %(over)s"
        "   THEN f.window_started_at ELSE excluded.window_started_at END"
        " RETURNING subject, failures, window_started_at",
        {"subjects": list(subjects), "now": now, "over": now - WINDOW},
    ).fetchall()
    return {row[0]: Failures(*row) for row in rows}
