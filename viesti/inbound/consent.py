"""Acts on STOP, START and HELP, and flags what reads like a STOP; used by ``texts``.

What else may be a word of consent, a list's, is for ``lists``. Each change of consent has one confirmation, in the conversation of the keyword: a second STOP
in a row says nothing new and gets none. HELP is answered whoever asks (product facts 1.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.messages.draft import Draft
from viesti.domain.messages.inbox import Incoming, Threads, flag_threads
from viesti.domain.messages.parked import cancel_waiting
from viesti.domain.messages.pricing import get_prices
from viesti.domain.messages.progress import Step
from viesti.domain.messages.states import Status
from viesti.domain.messages.store import CONSENT_REPLY, PRIORITY_REPLY, store_messages
from viesti.domain.messages.threads import ThreadTouch, join_threads
from viesti.domain.opt_outs.service import opt_in, opt_out
from viesti.domain.opt_outs.texts import help_reply, opted_in_confirmation, opted_out_confirmation
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent
from viesti.inbound.addresses import has_route_back
from viesti.inbound.lists import ListReply, find_list_words, hear_list_word, leave_lists
from viesti.kit.clock import iso
from viesti.kit.ids import new_id
from viesti.sms.keywords import Keyword, find_keyword, normalize_keyword, reads_like_opt_out
from viesti.sms.segments import count_segments

OPTED_OUT = "CONT-010"
TOLL_FREE = "toll_free"


@dataclass(slots=True)
class Consent:
    """What the keywords of a batch came to; ``list_replies`` are still to be sent."""

    steps: list[Step] = field(default_factory=list[Step])
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    lanes: list[UUID] = field(default_factory=list[UUID])
    reserved_micros: int = 0
    list_replies: list[ListReply] = field(default_factory=list[ListReply])


def apply_keywords(
    conn: psycopg.Connection,
    account_id: UUID,
    incoming: Sequence[Incoming],
    threads: Threads,
    now: datetime,
) -> Consent:
    """Carry out the keywords among ``incoming`` in their order, and queue the replies."""
    result = Consent()
    read = [(item, find_word(item)) for item in incoming]
    said = find_list_words(conn, account_id, [item for item, word in read if word is None])
    asked = any(word is not None for _, word in read)
    if not asked and not said:
        return result
    name, support = _business(conn, account_id) if asked else ("", "")
    replies: list[tuple[Incoming, str]] = []
    for item, word in read:
        if word is None:
            events, answers = hear_list_word(conn, account_id, item, said, threads, now)
            result.events += events
            result.list_replies += answers
        elif word is Keyword.HELP:
            replies.append((item, help_reply(name, support)))
        elif word is Keyword.OPT_OUT and _opt_out(conn, account_id, item, threads, result, now):
            replies.append((item, opted_out_confirmation(name)))
        elif word is Keyword.OPT_IN and _opt_in(conn, account_id, item, threads, result, now):
            replies.append((item, opted_in_confirmation(name)))
    if replies:
        _queue_replies(conn, account_id, replies, threads, result, now)
    return result


def flag_intent(
    conn: psycopg.Connection,
    account_id: UUID,
    incoming: Sequence[Incoming],
    threads: Threads,
    now: datetime,
) -> None:
    """Flag the conversations in which free text asks for silence: a person decides."""
    flagged = {
        threads[item.sender.id, item.contact.id].id
        for item in incoming
        if find_word(item) is None and reads_like_opt_out(item.text)
    }
    flag_threads(conn, account_id, sorted(flagged), now)


def find_word(item: Incoming) -> Keyword | None:
    """The keyword that ``item`` is; the toll-free network has words of its own."""
    return find_keyword(item.text, toll_free=item.sender.type == TOLL_FREE)


def _business(conn: psycopg.Connection, account_id: UUID) -> tuple[str, str]:
    row = conn.execute(
        "SELECT name, support_contact FROM accounts WHERE id = %s", (account_id,)
    ).fetchone()
    return (row[0], row[1]) if row else ("", "")


def _opt_out(
    conn: psycopg.Connection,
    account_id: UUID,
    item: Incoming,
    threads: Threads,
    result: Consent,
    now: datetime,
) -> bool:
    mobile = item.contact.mobile
    changed = opt_out(
        conn,
        account_id,
        mobile,
        source="keyword",
        word=normalize_keyword(item.text),
        sender_id=item.sender.id,
        now=now,
    )
    # Also after a second STOP: what was queued between the two by an older check ends here.
    result.steps += cancel_waiting(conn, account_id, mobile, OPTED_OUT)
    if changed:
        result.events.append(
            _event(account_id, EventType.CONTACT_OPT_OUT, item, threads, blocked_at=iso(now))
        )
    result.events += leave_lists(conn, account_id, item, threads, now)
    result.list_replies = [
        reply for reply in result.list_replies if reply.item.contact.id != item.contact.id
    ]
    return changed


def _opt_in(
    conn: psycopg.Connection,
    account_id: UUID,
    item: Incoming,
    threads: Threads,
    result: Consent,
    now: datetime,
) -> bool:
    changed = opt_in(conn, account_id, item.contact.mobile, now)
    if changed:
        result.events.append(
            _event(account_id, EventType.CONTACT_OPT_IN, item, threads, blocked_at=None)
        )
    return changed


def _event(
    account_id: UUID,
    kind: EventType,
    item: Incoming,
    threads: Threads,
    *,
    blocked_at: str | None,
) -> NewEvent:
    return NewEvent(
        account_id,
        kind,
        contact_id=item.contact.id,
        conversation_id=threads[item.sender.id, item.contact.id].id,
        facts={"blocked_at": blocked_at},
    )


def _queue_replies(
    conn: psycopg.Connection,
    account_id: UUID,
    replies: Sequence[tuple[Incoming, str]],
    threads: Threads,
    result: Consent,
    now: datetime,
) -> None:
    prices = get_prices(conn)
    drafts: list[Draft] = []
    touches: list[ThreadTouch] = []
    for item, text in replies:
        contact, sender = item.contact, item.sender
        if not has_route_back(contact.mobile):
            continue
        count = count_segments(text)
        draft = Draft(
            new_id(),
            contact,
            sender,
            Status.QUEUED,
            text=text,
            encoding=count.encoding.value,
            segments=count.segments,
            price_micros=prices.outbound(contact.country, count.segments),
            conversation_id=threads[sender.id, contact.id].id,
            is_reply=True,
        )
        drafts.append(draft)
        touches.append(ThreadTouch(sender.id, sender.number, contact.id, contact.mobile, draft.id))
    if not drafts:
        return
    join_threads(conn, account_id, touches, now)
    hints = store_messages(
        conn,
        account_id,
        drafts,
        job_id=None,
        kind=CONSENT_REPLY,
        type_="SMS",
        media=(),
        priority=PRIORITY_REPLY,
        now=now,
    )
    result.lanes += [hint.lane_id for hint in hints]
    result.reserved_micros += sum(draft.price_micros for draft in drafts)
