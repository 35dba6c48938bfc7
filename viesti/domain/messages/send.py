"""Accepts a send request, in the caller's transaction: checks it, answers it, remembers it.

Whom it is for is found out by ``recipients``; the texts are made and stored by ``accept``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.groups.queries import find_group_names
from viesti.domain.messages import idempotency
from viesti.domain.messages.accept import Order, accept, get_wording
from viesti.domain.messages.draft import Draft
from viesti.domain.messages.expansion import JobRequest, create_job
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.pricing import to_units
from viesti.domain.messages.queries import load_messages
from viesti.domain.messages.recipients import resolve_recipients
from viesti.domain.messages.schedule import read_send_at
from viesti.domain.messages.terms import get_terms
from viesti.domain.messages.views import MessageRow, message_view
from viesti.kit.errors import Invalid
from viesti.kit.ids import new_id

# The answer lists this many messages; GET messages?jobId= has the rest (product decisions).
MAX_MESSAGES_SHOWN = 1_000
MAX_MEDIA = 10
MAX_URL = 2_000
STRATEGIES = frozenset({"reuse", "new", "existing"})


def send_messages(
    conn: psycopg.Connection,
    account_id: UUID,
    request: SendRequest,
    *,
    credential_id: UUID,
    idempotency_key: str | None,
    body: bytes,
    now: datetime,
) -> SendAnswer:
    """Accept ``request``; what is queued in the answer survives anything once committed.

    ``body`` is the request as it came, for the Idempotency-Key. Raises Invalid (MSG-010,
    MSG-011, TMPL-...), TooLarge and what ``idempotency.claim_key`` raises; nothing is written
    then, provided that the caller rolls back.
    """
    key = None
    if idempotency_key is not None:
        key = idempotency.Key(account_id, credential_id, "messages.send", idempotency_key)
        answered = idempotency.claim_key(conn, key, body, now)
        if answered is not None:
            return SendAnswer(_replay(conn, account_id, answered))
    account = get_terms(conn, account_id)
    strategy = request.conversation_strategy or "reuse"
    if strategy not in STRATEGIES:
        raise Invalid("conversationStrategy is one of reuse, new, existing.")
    type_, media = _check_media(request)
    send_at = read_send_at(request.send_at, now)
    wording = get_wording(conn, account, request.template or "", media)
    recipients = resolve_recipients(
        conn,
        account_id,
        request,
        account.default_country,
        now,
        is_later=send_at is not None,
    )
    found = recipients.found
    group = request.phone_number_filter and request.phone_number_filter.group
    job_id = new_id()
    order = Order(
        job_id=job_id,
        wording=wording,
        type=type_,
        media=media,
        strategy=strategy,
        group_id=group.id if group else None,
        is_bulk=recipients.rest is not None
        or (len(found) != 1 and not all(recipient.is_reply for recipient in found)),
        send_at=send_at,
    )
    accepted = accept(conn, account, order, found, now, writing=recipients.writing)
    invalid = recipients.invalid + accepted.invalid
    answer: dict[str, Any] = {
        "jobId": str(job_id),
        "requested": recipients.requested,
        "valid": recipients.requested - len(invalid),
        "invalid": invalid,
        "queued": accepted.queued,
        "estimatedPrice": to_units(accepted.price_micros),
    }
    create_job(
        conn,
        account_id,
        JobRequest(
            template=request.template or "",
            filters=recipients.rest,
            type=type_,
            media=media,
            strategy=strategy,
            group_id=order.group_id,
            send_at=send_at,
            credential_id=credential_id,
            job_id=job_id,
            requested=recipients.requested,
            invalid=len(invalid),
            queued=accepted.queued,
            price_micros=accepted.price_micros,
            first_message_id=accepted.first_id,
            last_message_id=accepted.last_id,
        ),
        now,
    )
    if key is not None:
        idempotency.store_answer(conn, key, answer)
    shown = accepted.drafts[:MAX_MESSAGES_SHOWN]
    return SendAnswer(
        answer | {"messages": _show_drafts(conn, account_id, order, request, shown, now)},
        accepted.wake,
        accepted.has_events,
        has_job=recipients.rest is not None,
    )


def _check_media(request: SendRequest) -> tuple[str, list[dict[str, Any]]]:
    type_ = (request.type or "SMS").upper()
    if type_ not in ("SMS", "MMS"):
        raise Invalid("type is SMS or MMS.")
    media: list[dict[str, Any]] = []
    for item in request.media or []:
        url = (item.url or "").strip()
        if not url.lower().startswith(("http://", "https://")) or len(url) > MAX_URL:
            raise Invalid("Each media item needs a url that begins with http:// or https://.")
        media.append({"url": url})
    if len(media) > MAX_MEDIA:
        raise Invalid(f"A message takes at most {MAX_MEDIA} media items.")
    if not (request.template or "").strip() and not media:
        raise Invalid("The message is empty: give a template or media.", "MSG-011")
    return type_, media


def _replay(conn: psycopg.Connection, account_id: UUID, answered: dict[str, Any]) -> dict[str, Any]:
    """The first answer again, its messages in their present state."""
    rows = conn.execute(
        "SELECT m.id FROM jobs j JOIN messages m ON m.account_id = j.account_id"
        " AND m.id BETWEEN j.first_message_id AND j.last_message_id AND m.job_id = j.id"
        " WHERE j.account_id = %(account)s AND m.account_id = %(account)s AND j.id = %(job)s"
        " ORDER BY m.id LIMIT %(limit)s",
        {"account": account_id, "job": answered["jobId"], "limit": MAX_MESSAGES_SHOWN},
    ).fetchall()
    ids = [row[0] for row in rows]
    messages = load_messages(conn, account_id, ids)
    return answered | {"messages": [message_view(messages[message_id]) for message_id in ids]}


def _show_drafts(
    conn: psycopg.Connection,
    account_id: UUID,
    order: Order,
    request: SendRequest,
    drafts: Sequence[Draft],
    now: datetime,
) -> list[dict[str, Any]]:
    """The messages as stored a moment ago, without reading them again."""
    groups = find_group_names(conn, account_id, {d.sender.id for d in drafts if d.sender})
    return [
        message_view(
            MessageRow(
                account_id=account_id,
                id=draft.id,
                job_id=order.job_id,
                contact=draft.contact,
                conversation_id=draft.conversation_id,
                sender_id=draft.sender.id if draft.sender else None,
                sender=draft.sender.number if draft.sender else "",
                outgoing=True,
                type=order.type,
                status=draft.status.value,
                message=draft.text,
                template=request.template or "",
                media=list(order.media),
                segments=draft.segments,
                price_micros=draft.price_micros,
                error_code=draft.error_code,
                receipt_missing=False,
                unread=False,
                send_at=draft.not_before,
                created_at=now,
                updated_at=now,
                group=groups.get(draft.sender.id) if draft.sender else None,
            )
        )
        for draft in drafts
    ]
