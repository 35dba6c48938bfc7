"""Accepts a send: from the request's recipients to durable texts, in the caller's transaction.

The order of the steps is the order in which rows are locked everywhere (contacts, recent
texts, conversations, messages, balance last), so that parallel calls wait instead of
deadlocking, and the balance row, which all calls of an account share, is held shortest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from viesti.domain.contacts.views import contact_view, error_view
from viesti.domain.messages import idempotency
from viesti.domain.messages.draft import Draft, Wording, compose
from viesti.domain.messages.duplicates import find_duplicates
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.pricing import get_prices, to_units
from viesti.domain.messages.queries import load_messages
from viesti.domain.messages.quiet_hours import next_allowed
from viesti.domain.messages.recipients import Recipient, resolve_recipients
from viesti.domain.messages.states import Status
from viesti.domain.messages.store import (
    PRIORITY_BULK,
    PRIORITY_REPLY,
    reserve,
    store_messages,
    suspend,
)
from viesti.domain.messages.terms import Terms, get_terms
from viesti.domain.messages.threads import (
    ThreadTouch,
    close_threads,
    find_open_threads,
    join_threads,
)
from viesti.domain.messages.views import message_view
from viesti.domain.opt_outs.texts import first_message_notice
from viesti.domain.senders.choice import SenderChoice, find_senders
from viesti.domain.templates.render import compile_template
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
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
    wording = Wording(
        template=compile_template(request.template or ""),
        media_urls=[item["url"] for item in media],
        notice=first_message_notice(account.name, account.notice_text) if account.notice else "",
        smart=account.smart_encoding,
        prices=get_prices(conn),
    )
    recipients = resolve_recipients(conn, account_id, request, account.default_country, now)
    is_reply = all(r.is_reply for r in recipients.found) or len(recipients.found) == 1
    drafts = _choose_senders(conn, account, request, strategy, recipients.found)
    invalid = recipients.invalid
    if strategy == "existing":
        invalid += [_refused(d, "CONV-001") for d in drafts if d.status is Status.INVALID]
        drafts = [draft for draft in drafts if draft.status is not Status.INVALID]
    for draft in drafts:
        _judge(draft, wording)
    if account.duplicate_guard:
        going = [draft for draft in drafts if draft.error_code is None]
        for draft in find_duplicates(conn, account_id, going, now):
            draft.fail("MSG-024")
    if account.quiet_hours and not is_reply:
        _hold_for_quiet_hours(drafts, account, now)
    events = _join_threads(conn, account, drafts, strategy, now)
    job_id = new_id()
    wake = store_messages(
        conn,
        account_id,
        drafts,
        job_id=job_id,
        kind="text",
        type_=type_,
        media=media,
        priority=PRIORITY_REPLY if is_reply else PRIORITY_BULK,
        now=now,
    )
    if wording.notice:
        _mark_noticed(conn, account_id, drafts, now)
    invalid += [_refused(d, d.error_code) for d in drafts if d.error_code is not None]
    has_events = record_events(conn, events + _contact_events(account_id, recipients.found), now)
    short = reserve(conn, account_id, drafts, now)
    suspend(conn, account_id, short, now)
    has_events |= record_events(conn, _born_ended(account_id, drafts), now)
    waiting = [d for d in drafts if d.status in (Status.QUEUED, Status.SCHEDULED)]
    answer: dict[str, Any] = {
        "jobId": str(job_id),
        "requested": recipients.requested,
        "valid": recipients.requested - len(invalid),
        "invalid": invalid,
        "queued": len(waiting),
        "estimatedPrice": to_units(sum(draft.price_micros for draft in drafts)),
    }
    _store_job(conn, account_id, job_id, credential_id, request, type_, media, drafts, answer, now)
    if key is not None:
        idempotency.store_answer(conn, key, answer)
    shown = [draft.id for draft in drafts[:MAX_MESSAGES_SHOWN]]
    return SendAnswer(answer | {"messages": _show(conn, account_id, shown)}, wake, has_events)


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


def _choose_senders(
    conn: psycopg.Connection,
    account: Terms,
    request: SendRequest,
    strategy: str,
    found: Sequence[Recipient],
) -> list[Draft]:
    """A draft per recipient with its sender; INVALID marks one without a conversation."""
    choice = SenderChoice(find_senders(conn, account.id))
    group = request.phone_number_filter and request.phone_number_filter.group
    # Until an account has groups of its own, its one group has the account's id.
    if group and group.id and group.id != str(account.id):
        choice = SenderChoice([])
    open_threads = find_open_threads(conn, account.id, [r.contact.id for r in found])
    drafts: list[Draft] = []
    for recipient in found:
        contact = recipient.contact
        open_sender, thread = open_threads.get(contact.id, (None, None))
        fixed = recipient.sender_id or open_sender
        sender = choice.by_id(fixed) if fixed else None
        sender = sender or choice.for_contact(contact.mobile, contact.country)
        draft = Draft(new_id(), contact, sender, Status.QUEUED, is_reply=recipient.is_reply)
        if sender is not None and sender.id == open_sender:
            draft.conversation_id = thread
        if strategy == "existing" and open_sender is None:
            draft.status = Status.INVALID
        drafts.append(draft)
    return drafts


def _judge(draft: Draft, wording: Wording) -> None:
    compose(draft, wording)
    if draft.error_code is not None:
        return
    if draft.contact.blocked_at is not None:
        draft.fail("CONT-010")
    elif draft.sender is None:
        draft.fail("MSG-001")


def _hold_for_quiet_hours(drafts: Sequence[Draft], account: Terms, now: datetime) -> None:
    for draft in drafts:
        if draft.error_code is None:
            allowed = next_allowed(draft.contact.mobile, account.time_zone, now)
            if allowed > now:
                draft.status = Status.SCHEDULED
                draft.not_before = allowed


def _join_threads(
    conn: psycopg.Connection,
    account: Terms,
    drafts: Sequence[Draft],
    strategy: str,
    now: datetime,
) -> list[NewEvent]:
    touches = [
        ThreadTouch(d.sender.id, d.sender.number, d.contact.id, d.contact.mobile, d.id)
        for d in drafts
        if d.sender is not None and d.error_code is None
    ]
    events: list[NewEvent] = []
    if strategy == "new" and touches:
        pairs = list({(touch.sender_id, touch.contact_id) for touch in touches})
        for conversation_id, contact_id in close_threads(conn, account.id, pairs, now):
            events.append(
                NewEvent(
                    account.id,
                    EventType.CONVERSATION_CLOSED,
                    contact_id=contact_id,
                    conversation_id=conversation_id,
                )
            )
    threads = join_threads(conn, account.id, touches, now)
    for (_, contact_id), thread in threads.items():
        if thread.started:
            events.append(
                NewEvent(
                    account.id,
                    EventType.CONVERSATION_STARTED,
                    contact_id=contact_id,
                    conversation_id=thread.id,
                )
            )
    for draft in drafts:
        # A refused text is shown in a conversation that is open anyway, but starts none.
        if draft.sender is not None:
            joined = threads.get((draft.sender.id, draft.contact.id))
            draft.conversation_id = joined.id if joined else draft.conversation_id
    return events


def _contact_events(account_id: UUID, found: Sequence[Recipient]) -> list[NewEvent]:
    contacts = {recipient.contact.id: recipient.contact for recipient in found}
    return [
        NewEvent(
            account_id,
            EventType.CONTACT_CREATED if contact.inserted else EventType.CONTACT_UPDATED,
            contact_id=contact.id,
        )
        for contact in contacts.values()
        if contact.inserted or contact.changed
    ]


def _born_ended(account_id: UUID, drafts: Sequence[Draft]) -> list[NewEvent]:
    """The events of texts that were refused or suspended as they were accepted."""
    return [
        NewEvent(
            account_id,
            EventType.MESSAGE_STATUS,
            contact_id=draft.contact.id,
            conversation_id=draft.conversation_id,
            message_id=draft.id,
            facts={"status": draft.status.value, "error_code": draft.error_code},
        )
        for draft in drafts
        if draft.error_code is not None
    ]


def _mark_noticed(
    conn: psycopg.Connection, account_id: UUID, drafts: Sequence[Draft], now: datetime
) -> None:
    ids = [d.contact.id for d in drafts if d.error_code is None and d.contact.noticed_at is None]
    conn.execute(
        "UPDATE contacts SET noticed_at = %s WHERE account_id = %s AND id IN ("
        " SELECT id FROM contacts WHERE account_id = %s AND id = ANY(%s) ORDER BY mobile"
        " FOR UPDATE)",
        (now, account_id, account_id, ids),
    )


def _refused(draft: Draft, code: str | None) -> dict[str, Any]:
    view = contact_view(draft.contact)
    view["error"] = error_view(code or "GEN-500")
    return view


def _store_job(
    conn: psycopg.Connection,
    account_id: UUID,
    job_id: UUID,
    credential_id: UUID,
    request: SendRequest,
    type_: str,
    media: list[dict[str, Any]],
    drafts: Sequence[Draft],
    answer: dict[str, Any],
    now: datetime,
) -> None:
    conn.execute(
        "INSERT INTO jobs (account_id, id, template, type, media, requested, valid, invalid,"
        " queued, price_micros, first_message_id, last_message_id, credential_id, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            account_id,
            job_id,
            request.template or "",
            type_,
            Jsonb(media),
            answer["requested"],
            answer["valid"],
            len(answer["invalid"]),
            answer["queued"],
            sum(draft.price_micros for draft in drafts),
            min((draft.id for draft in drafts), default=None),
            max((draft.id for draft in drafts), default=None),
            credential_id,
            now,
        ),
    )


def _replay(conn: psycopg.Connection, account_id: UUID, answered: dict[str, Any]) -> dict[str, Any]:
    """The first answer again, its messages in their present state."""
    rows = conn.execute(
        "SELECT m.id FROM jobs j JOIN messages m ON m.account_id = j.account_id"
        " AND m.id BETWEEN j.first_message_id AND j.last_message_id AND m.job_id = j.id"
        " WHERE j.account_id = %(account)s AND m.account_id = %(account)s AND j.id = %(job)s"
        " ORDER BY m.id LIMIT %(limit)s",
        {"account": account_id, "job": answered["jobId"], "limit": MAX_MESSAGES_SHOWN},
    ).fetchall()
    return answered | {"messages": _show(conn, account_id, [row[0] for row in rows])}


def _show(conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    rows = load_messages(conn, account_id, ids)
    return [message_view(rows[message_id]) for message_id in ids]
