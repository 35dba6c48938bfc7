"""Writes the rows of accepted texts into ``messages`` and ``dispatch_queue``; used by ``store``.

Single texts go by INSERT, bulk by COPY: its rows are put together in PostgreSQL's own format, a
microsecond each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from viesti.db.binary import (
    bool_field,
    copy_rows,
    int2_field,
    int8_field,
    json_field,
    moment_field,
    row_head,
    text_field,
    uuid_field,
)
from viesti.domain.messages.draft import Draft

_COPY_FROM_ROWS = 8

# First what all texts of a call share, then what many of them do.
_MESSAGE_COLUMNS = (
    "account_id, job_id, outgoing, kind, type, media, created_at, updated_at, sender_id, sender,"
    " status, encoding, segments, price_micros, error_code, send_at, id, contact_id,"
    " conversation_id, mobile, message"
)
_QUEUE_COLUMNS = (
    "account_id, priority, consent_reply, lane_id, segments, not_before, message_id, mobile"
)
_INSERT_MESSAGE: LiteralString = (
    f"INSERT INTO messages ({_MESSAGE_COLUMNS}) VALUES (" + 20 * "%s, " + "%s)"
)
_INSERT_QUEUED: LiteralString = (
    f"INSERT INTO dispatch_queue ({_QUEUE_COLUMNS}) VALUES (" + 7 * "%s, " + "%s)"
)


@dataclass(frozen=True, slots=True)
class SharedFields:
    """What all texts of a call have in common."""

    account_id: UUID
    job_id: UUID | None
    kind: str
    type: str
    media: Sequence[dict[str, Any]]
    priority: int
    now: datetime


def write_rows(
    conn: psycopg.Connection,
    shared: SharedFields,
    drafts: Sequence[Draft],
    waiting: Sequence[Draft],
    *,
    is_consent_reply: bool,
) -> None:
    """A message for each of ``drafts``, and a place in the queue for each of ``waiting``.

    Those of ``waiting`` without a sender get none.
    """
    queued = [draft for draft in waiting if draft.sender is not None]
    if len(drafts) < _COPY_FROM_ROWS:
        _insert(conn, shared, drafts, queued, is_consent_reply=is_consent_reply)
        return
    copy_rows(conn, "messages", _MESSAGE_COLUMNS, _message_rows(shared, drafts))
    if queued:
        rows = _queue_rows(shared, queued, is_consent_reply=is_consent_reply)
        copy_rows(conn, "dispatch_queue", _QUEUE_COLUMNS, rows)


def _insert(
    conn: psycopg.Connection,
    shared: SharedFields,
    drafts: Sequence[Draft],
    queued: Sequence[Draft],
    *,
    is_consent_reply: bool,
) -> None:
    media = Jsonb(list(shared.media)) if shared.media else None
    messages = [
        (
            shared.account_id,
            shared.job_id,
            True,
            shared.kind,
            shared.type,
            media,
            shared.now,
            shared.now,
            draft.sender.id if draft.sender else None,
            draft.sender.number if draft.sender else "",
            draft.status.value,
            draft.encoding,
            draft.segments,
            draft.price_micros,
            draft.error_code,
            draft.not_before,
            draft.id,
            draft.contact.id,
            draft.conversation_id,
            draft.contact.mobile,
            draft.text,
        )
        for draft in drafts
    ]
    places = [
        (
            shared.account_id,
            shared.priority,
            is_consent_reply,
            draft.sender.id if draft.sender else None,
            draft.segments,
            draft.not_before or shared.now,
            draft.id,
            draft.contact.mobile,
        )
        for draft in queued
    ]
    cursor = conn.cursor()
    if messages:
        cursor.executemany(_INSERT_MESSAGE, messages)
    if places:
        cursor.executemany(_INSERT_QUEUED, places)


def _message_rows(shared: SharedFields, drafts: Sequence[Draft]) -> Iterator[bytes]:
    head = b"".join(
        (
            row_head(21),
            uuid_field(shared.account_id),
            uuid_field(shared.job_id),
            bool_field(True),
            text_field(shared.kind),
            text_field(shared.type),
            json_field(msgspec.json.encode(shared.media) if shared.media else None),
            2 * moment_field(shared.now),
        )
    )
    middles: dict[tuple[object, ...], bytes] = {}
    for draft in drafts:
        sender = draft.sender
        key = (
            id(sender),
            id(draft.status),
            draft.encoding,
            draft.segments,
            draft.price_micros,
            draft.error_code,
            draft.not_before,
        )
        middle = middles.get(key)
        if middle is None:
            middle = middles[key] = b"".join(
                (
                    uuid_field(sender.id if sender else None),
                    text_field(sender.number if sender else ""),
                    text_field(draft.status.value),
                    text_field(draft.encoding),
                    int2_field(draft.segments),
                    int8_field(draft.price_micros),
                    text_field(draft.error_code),
                    moment_field(draft.not_before),
                )
            )
        yield b"".join(
            (
                head,
                middle,
                uuid_field(draft.id),
                uuid_field(draft.contact.id),
                uuid_field(draft.conversation_id),
                text_field(draft.contact.mobile),
                text_field(draft.text),
            )
        )


def _queue_rows(
    shared: SharedFields, drafts: Sequence[Draft], *, is_consent_reply: bool
) -> Iterator[bytes]:
    head = b"".join(
        (
            row_head(8),
            uuid_field(shared.account_id),
            int2_field(shared.priority),
            bool_field(is_consent_reply),
        )
    )
    middles: dict[tuple[object, ...], bytes] = {}
    for draft in drafts:
        sender = draft.sender
        key = (id(sender), draft.segments, draft.not_before)
        middle = middles.get(key)
        if middle is None:
            middle = middles[key] = b"".join(
                (
                    uuid_field(sender.id if sender else None),
                    int2_field(draft.segments),
                    moment_field(draft.not_before or shared.now),
                )
            )
        yield b"".join((head, middle, uuid_field(draft.id), text_field(draft.contact.mobile)))
