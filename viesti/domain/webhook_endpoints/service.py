"""Subscribes, lists, finds and ends webhooks; called by the API and the hub.

Whoever commits a change here wakes ``viesti.events.outbox.WEBHOOKS_CHANNEL``, so that the
``work`` role falls silent, or speaks up, at once rather than within a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.webhook_endpoints.models import (
    MAX_WEBHOOKS,
    SECRET_PURPOSE,
    BadEventType,
    BadUrl,
    TooManyWebhooks,
    Webhook,
    WebhookNotFound,
    new_secret,
    secret_text,
)
from viesti.events.catalogue import EventType
from viesti.kit.ids import find_id, new_id
from viesti.kit.safe_http import UnsafeUrl, check_url
from viesti.kit.secrets import PlatformKey

_SELECT = """
SELECT account_id, id, url, event_types, created_at, updated_at, disabled_at, disabled_reason
FROM webhooks WHERE account_id = %s
"""
_UPSERT = """
INSERT INTO webhooks (account_id, id, url, event_types, secret_encrypted, created_at, updated_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (account_id, url) DO UPDATE SET event_types = excluded.event_types,
  updated_at = excluded.updated_at, disabled_at = NULL, disabled_reason = NULL
RETURNING account_id, id, url, event_types, created_at, updated_at, disabled_at, disabled_reason,
  secret_encrypted
"""
# What one call deletes along with a webhook; housekeeping takes the rest in turns.
_DELETE_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A webhook with the secret that its receiver verifies signatures by."""

    webhook: Webhook
    secret: str


@dataclass(frozen=True, slots=True)
class WebhookPage:
    webhooks: list[Webhook]
    total_count: int


def subscribe(
    conn: psycopg.Connection,
    key: PlatformKey,
    account_id: UUID,
    url: str,
    event_types: Sequence[str],
    now: datetime,
    *,
    allow_private: bool = False,
) -> Subscribed:
    """The account's webhook at ``url``, which hears ``event_types`` from the commit on.

    A URL that is subscribed already keeps its id and secret, hears the new event types, and is
    enabled again if it was disabled: clients in use subscribe at each start, and must come out
    with a secret that works. Raises BadUrl, BadEventType or TooManyWebhooks.
    """
    try:
        check_url(url, allow_private)
    except UnsafeUrl as error:
        raise BadUrl(error.message) from error
    kinds = _parse_event_types(event_types)
    others = conn.execute(
        "SELECT count(*) FROM webhooks WHERE account_id = %s AND url <> %s", (account_id, url)
    ).fetchone()
    if others and others[0] >= MAX_WEBHOOKS:
        raise TooManyWebhooks(f"An account may have {MAX_WEBHOOKS} webhooks; remove one first.")
    sealed = key.encrypt(SECRET_PURPOSE, new_secret())
    row = conn.execute(
        _UPSERT,
        (account_id, new_id(), url, [kind.value for kind in kinds], sealed, now, now),
    ).fetchone()
    assert row is not None
    return Subscribed(_webhook(row), secret_text(key.decrypt(SECRET_PURPOSE, row[8])))


def list_webhooks(
    conn: psycopg.Connection, account_id: UUID, offset: int = 0, limit: int = MAX_WEBHOOKS
) -> WebhookPage:
    """The account's webhooks, oldest first, the disabled ones too."""
    rows = conn.execute(
        _SELECT + "ORDER BY id",
        (account_id,),
    ).fetchall()
    return WebhookPage([_webhook(row) for row in rows[offset : offset + limit]], len(rows))


def find_webhook(conn: psycopg.Connection, account_id: UUID, url_or_id: str) -> Webhook | None:
    """The account's webhook at exactly this URL, or with this id."""
    row = conn.execute(
        _SELECT + "AND (url = %s OR id = %s) ORDER BY url = %s DESC LIMIT 1",
        (account_id, url_or_id, find_id(url_or_id), url_or_id),
    ).fetchone()
    return None if row is None else _webhook(row)


def get_webhook(conn: psycopg.Connection, account_id: UUID, url_or_id: str) -> Webhook:
    """As ``find_webhook``; raises WebhookNotFound (WEBH-001)."""
    webhook = find_webhook(conn, account_id, url_or_id)
    if webhook is None:
        raise WebhookNotFound("There is no such webhook.")
    return webhook


def unsubscribe(conn: psycopg.Connection, account_id: UUID, url_or_id: str) -> None:
    """End the subscription and drop what was still on its way to it.

    Raises WebhookNotFound. A call that is on the wire at this moment cannot be taken back.
    """
    webhook = get_webhook(conn, account_id, url_or_id)
    conn.execute("DELETE FROM webhooks WHERE account_id = %s AND id = %s", (account_id, webhook.id))
    # Rows whose outcome is just being written are left to housekeeping: nothing is sent
    # without the webhook's own row.
    conn.execute(
        "DELETE FROM webhook_deliveries WHERE account_id = %(account)s AND id = ANY(ARRAY("
        " SELECT id FROM webhook_deliveries WHERE account_id = %(account)s"
        " AND webhook_id = %(webhook)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))",
        {"account": account_id, "webhook": webhook.id, "limit": _DELETE_AT_ONCE},
    )


def disable_webhook(
    conn: psycopg.Connection, account_id: UUID, webhook_id: UUID, reason: str, now: datetime
) -> bool:
    """Stop delivering to a webhook until it is subscribed anew; False if it was stopped."""
    done = conn.execute(
        "UPDATE webhooks SET disabled_at = %s, disabled_reason = %s"
        " WHERE account_id = %s AND id = %s AND disabled_at IS NULL",
        (now, reason, account_id, webhook_id),
    )
    return done.rowcount == 1


def _parse_event_types(event_types: Sequence[str]) -> list[EventType]:
    kinds: dict[EventType, None] = {}
    for word in event_types:
        try:
            kinds[EventType(word)] = None
        except ValueError as error:
            known = ", ".join(kind.value for kind in EventType)
            raise BadEventType(f"An event type is not known. Known are: {known}.") from error
    if not kinds:
        raise BadEventType("Name at least one event type.")
    return list(kinds)


def _webhook(row: Sequence[Any]) -> Webhook:
    return Webhook(
        account_id=row[0],
        id=row[1],
        url=row[2],
        event_types=tuple(EventType(kind) for kind in row[3]),
        created_at=row[4],
        updated_at=row[5],
        disabled_at=row[6],
        disabled_reason=row[7],
    )
