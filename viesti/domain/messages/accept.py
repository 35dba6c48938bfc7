"""From resolved recipients to durable texts: the middle of every send, in the caller's transaction.

Called by ``send`` for one request, by whoever expands a filter or a campaign, chunk by chunk
within one job, and by ``inbound`` for what lists say to a handset, without a job. The job's row
is the caller's to write, before or after.

The order of the steps is the order in which rows are locked everywhere (contacts, recent
texts, conversations, messages, balance last), so that parallel calls wait instead of
deadlocking, and the balance row, which all calls of an account share, is held shortest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.beside import beside
from viesti.domain.contacts.upsert import Writing
from viesti.domain.contacts.views import contact_view, error_view
from viesti.domain.groups.choice import get_sender_choice
from viesti.domain.messages.accept_events import (
    ThreadChanges,
    born_ended,
    contact_events,
    thread_events,
)
from viesti.domain.messages.draft import Draft, Wording, compose
from viesti.domain.messages.duplicates import find_duplicates
from viesti.domain.messages.models import WakeHint
from viesti.domain.messages.pricing import get_prices
from viesti.domain.messages.quiet_hours import next_allowed
from viesti.domain.messages.recipients import Recipient
from viesti.domain.messages.states import Status
from viesti.domain.messages.store import (
    PRIORITY_BULK,
    PRIORITY_REPLY,
    reserve,
    store_messages,
    suspend,
)
from viesti.domain.messages.terms import Terms
from viesti.domain.messages.threads import (
    ThreadTouch,
    close_threads,
    find_open_threads,
    join_each,
)
from viesti.domain.opt_outs.texts import first_message_notice
from viesti.domain.senders.choice import SenderChoice
from viesti.domain.templates.render import compile_template
from viesti.events.outbox import find_listening, record_events
from viesti.kit.ids import new_ids

_STEP = timedelta(microseconds=1)
# From here on the server's work is worth a thread beside Python's.
_BESIDE_FROM = 256


@dataclass(frozen=True, slots=True)
class Order:
    """What all texts of one job share."""

    job_id: UUID | None  # None: an answer to a keyword
    wording: Wording
    type: str = "SMS"  # or MMS
    media: Sequence[dict[str, Any]] = ()  # each {"url": ...}
    strategy: str = "reuse"  # conversationStrategy: reuse, new, existing
    group_id: str | None = None  # whose senders to use; None: the account's
    is_bulk: bool = True  # replies and single texts go first and heed no quiet hours
    send_at: datetime | None = None  # the moment that the client asked for; None: now
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of the recipients of one call of ``accept``.

    ``drafts`` are the stored texts in the recipients' order, refused ones among them.
    ``invalid`` are the contacts that got no text that could leave, in the answer's shape.
    """

    drafts: list[Draft]
    invalid: list[dict[str, Any]]
    wake: list[WakeHint]
    has_events: bool

    @property
    def queued(self) -> int:
        """How many wait to be sent, now or at their time."""
        return sum(draft.status in (Status.QUEUED, Status.SCHEDULED) for draft in self.drafts)

    @property
    def price_micros(self) -> int:
        return sum(draft.price_micros for draft in self.drafts)

    @property
    def first_id(self) -> UUID | None:
        """The lowest id of the stored texts; with ``last_id`` it bounds where they lie."""
        return min((draft.id for draft in self.drafts), default=None)

    @property
    def last_id(self) -> UUID | None:
        return max((draft.id for draft in self.drafts), default=None)


def get_wording(
    conn: psycopg.Connection, account: Terms, template: str, media: Sequence[dict[str, Any]]
) -> Wording:
    """``template`` compiled, with the account's settings. Raises Invalid (TMPL-001, TMPL-002)."""
    return Wording(
        template=compile_template(template),
        media_urls=[item["url"] for item in media],
        notice=first_message_notice(account.name, account.notice_text) if account.notice else "",
        smart=account.smart_encoding,
        prices=get_prices(conn),
    )


def accept(
    conn: psycopg.Connection,
    account: Terms,
    order: Order,
    recipients: Sequence[Recipient],
    now: datetime,
    *,
    writing: Writing | None = None,
) -> Accepted:
    """Store a text for each of ``recipients``, queue and reserve what may leave.

    ``writing``: their contacts, where those are still to be stored.

    Never commits. Once the caller did, wake the lanes of ``wake`` and, with ``has_events``, the
    webhooks.
    """
    drafts = _prepare(conn, account, order, recipients, writing)
    invalid: list[dict[str, Any]] = []
    if order.strategy == "existing":
        invalid = [_refused(d, "CONV-001") for d in drafts if d.status is Status.INVALID]
        drafts = [draft for draft in drafts if draft.status is not Status.INVALID]
    if account.duplicate_guard:
        going = [draft for draft in drafts if draft.error_code is None]
        for draft in find_duplicates(conn, account.id, going, now):
            draft.fail("MSG-024")
    _set_times(drafts, account, order, now)
    threads = _join_threads(conn, account, drafts, order.strategy, now)
    wake = store_messages(
        conn,
        account.id,
        drafts,
        job_id=order.job_id,
        kind=order.kind,
        type_=order.type,
        media=order.media,
        priority=PRIORITY_BULK if order.is_bulk else PRIORITY_REPLY,
        now=now,
    )
    if order.wording.notice:
        _mark_noticed(conn, account.id, drafts, now)
    invalid += [_refused(d, d.error_code) for d in drafts if d.error_code is not None]
    listened = bool(find_listening(conn, [account.id]))
    events = thread_events(account.id, threads) if listened else []
    events += contact_events(account.id, recipients) if listened else []
    has_events = record_events(conn, events, now)
    short = reserve(conn, account.id, drafts, now)
    suspend(conn, account.id, short, now)
    if listened:
        # A moment later than a start or an end of their conversations: ``sequence`` ascends.
        has_events |= record_events(conn, born_ended(account.id, drafts), now + _STEP)
    return Accepted(drafts, invalid, wake, has_events)


def _prepare(
    conn: psycopg.Connection,
    account: Terms,
    order: Order,
    found: Sequence[Recipient],
    writing: Writing | None,
) -> list[Draft]:
    """A judged draft per recipient; INVALID marks one without a conversation.

    The contacts of ``writing`` are stored meanwhile.
    """
    choice = get_sender_choice(conn, account.id, order.group_id)

    def look_up() -> dict[UUID, tuple[UUID, UUID]]:
        # A contact that was made a moment ago has written with nobody yet.
        ids = [recipient.contact.id for recipient in found if not recipient.contact.inserted]
        return find_open_threads(conn, account.id, ids, choice.preferred)

    def prepare(open_threads: Mapping[UUID, tuple[UUID, UUID]]) -> list[Draft]:
        drafts = _choose_senders(choice, order, found, open_threads)
        _judge(drafts, order.wording)
        return drafts

    # Few are not worth a thread, and a template with loops has steps for one rendering only.
    if writing is None or len(found) < _BESIDE_FROM or not order.wording.template.is_plain:
        if writing is not None:
            writing.finish()
        return prepare(look_up())
    open_threads = look_up()
    came_between, drafts = beside(writing.finish, lambda: prepare(open_threads))
    return prepare(look_up()) if came_between else drafts


def _choose_senders(
    choice: SenderChoice,
    order: Order,
    found: Sequence[Recipient],
    open_threads: Mapping[UUID, tuple[UUID, UUID]],
) -> list[Draft]:
    drafts: list[Draft] = []
    for draft_id, recipient in zip(new_ids(len(found)), found, strict=True):
        contact = recipient.contact
        open_sender, thread = None, None
        if open_threads and not contact.inserted:
            open_sender, thread = open_threads.get(contact.id, (None, None))
        fixed = recipient.sender_id or open_sender
        sender = choice.by_id(fixed) if fixed else None
        sender = sender or choice.for_contact(contact.mobile, contact.country)
        draft = Draft(draft_id, contact, sender, Status.QUEUED, is_reply=recipient.is_reply)
        if open_sender is not None and sender is not None and sender.id == open_sender:
            draft.conversation_id = thread
        if order.strategy == "existing" and open_sender is None:
            draft.status = Status.INVALID
        drafts.append(draft)
    return drafts


def _judge(drafts: Sequence[Draft], wording: Wording) -> None:
    for draft in drafts:
        if draft.status is Status.INVALID:
            continue
        compose(draft, wording)
        if draft.error_code is not None:
            continue
        if draft.contact.blocked_at is not None:
            draft.fail("CONT-010")
        elif draft.sender is None:
            draft.fail("MSG-001")


def _set_times(drafts: Sequence[Draft], account: Terms, order: Order, now: datetime) -> None:
    """Schedule what may leave later only: at the asked time, and outside quiet hours."""
    wanted = max(order.send_at or now, now)
    heeds_quiet_hours = account.quiet_hours and order.is_bulk
    if wanted == now and not heeds_quiet_hours:
        return
    for draft in drafts:
        if draft.error_code is None:
            at = wanted
            if heeds_quiet_hours:
                at = next_allowed(draft.contact.mobile, account.time_zone, wanted)
            if at > now:
                draft.status = Status.SCHEDULED
                draft.not_before = at


def _join_threads(
    conn: psycopg.Connection,
    account: Terms,
    drafts: Sequence[Draft],
    strategy: str,
    now: datetime,
) -> ThreadChanges:
    touches: list[ThreadTouch] = []
    going: list[Draft] = []
    refused: list[Draft] = []
    for draft in drafts:
        sender, contact = draft.sender, draft.contact
        if sender is None:
            continue
        if draft.error_code is not None:
            refused.append(draft)
            continue
        open_id = None if strategy == "new" else draft.conversation_id
        going.append(draft)
        touches.append(
            ThreadTouch(
                sender.id,
                sender.number,
                contact.id,
                contact.mobile,
                draft.id,
                open_id is not None,
                open_id,
            )
        )
    closed: list[tuple[UUID, UUID]] = []
    if strategy == "new" and touches:
        pairs = list({(touch.sender_id, touch.contact_id) for touch in touches})
        closed = close_threads(conn, account.id, pairs, now)
    threads = join_each(conn, account.id, touches, now)
    started: dict[UUID, UUID] = {}
    for draft, thread in zip(going, threads, strict=True):
        draft.conversation_id = thread.id
        if thread.started:
            started[thread.id] = draft.contact.id
    if refused:
        joined = {
            (touch.sender_id, touch.contact_id): thread.id
            for touch, thread in zip(touches, threads, strict=True)
        }
        for draft in refused:
            # It is shown in a conversation that is open anyway, but starts none.
            if draft.sender is not None:
                pair = (draft.sender.id, draft.contact.id)
                draft.conversation_id = joined.get(pair, draft.conversation_id)
    return ThreadChanges(closed, started)


def _mark_noticed(
    conn: psycopg.Connection, account_id: UUID, drafts: Sequence[Draft], now: datetime
) -> None:
    ids = [d.contact.id for d in drafts if d.error_code is None and d.contact.noticed_at is None]
    # Contacts come first in the order of locks, and this is late: one that another call holds is
    # passed over, and reads the notice once more.
    conn.execute(
        "UPDATE contacts SET noticed_at = %s WHERE account_id = %s AND id IN ("
        " SELECT id FROM contacts WHERE account_id = %s AND id = ANY(%s) FOR UPDATE SKIP LOCKED)",
        (now, account_id, account_id, ids),
    )


def _refused(draft: Draft, code: str | None) -> dict[str, Any]:
    view = contact_view(draft.contact)
    view["error"] = error_view(code or "GEN-500")
    return view
