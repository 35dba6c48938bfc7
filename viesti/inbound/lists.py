"""Acts on the keywords of lists and on the yes that follows; used by ``consent`` and ``texts``.

What a list says to a handset is a text like any other: consent, credit and length hold for it.
Only the duplicate guard does not, as for every answer to a keyword (product decisions, MSG-024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import psycopg
import structlog
from msgspec.structs import replace as replace_fields

from viesti.domain.lists.consent import (
    JoinableList,
    find_asked,
    find_by_keyword,
    opt_in,
    opt_out_of_all,
    take_keyword,
)
from viesti.domain.lists.models import Membership, membership_view
from viesti.domain.messages.accept import Order, accept, get_wording
from viesti.domain.messages.inbox import Incoming, Threads
from viesti.domain.messages.recipients import Recipient
from viesti.domain.messages.terms import get_terms
from viesti.domain.opt_outs.service import is_opted_out
from viesti.domain.opt_outs.texts import list_prompt
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent
from viesti.inbound.addresses import has_route_back
from viesti.kit.errors import NotFound, ViestiError
from viesti.sms.keywords import is_yes, whole_word

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ListReply:
    """What a list says to who wrote ``item``; ``template`` None: the usual prompt."""

    item: Incoming
    list_name: str
    template: str | None


@dataclass(frozen=True, slots=True)
class ListWords:
    """The texts of a batch that may concern lists: what each says, and the lists it may mean."""

    words: Mapping[UUID, str]
    lists: Mapping[str, JoinableList]

    def __bool__(self) -> bool:
        return bool(self.words)


def find_list_words(
    conn: psycopg.Connection, account_id: UUID, incoming: Sequence[Incoming]
) -> ListWords:
    """Those of ``incoming`` that are a list's keyword or a yes; they have no other meaning."""
    words: dict[UUID, str] = {}
    for item in incoming:
        word = whole_word(item.text)
        if word and has_route_back(item.contact.mobile):
            words[item.id] = word
    lists = find_by_keyword(conn, account_id, set(words.values()))
    meant = {key: word for key, word in words.items() if word in lists or is_yes(word)}
    return ListWords(meant, lists)


def hear_list_word(
    conn: psycopg.Connection,
    account_id: UUID,
    item: Incoming,
    said: ListWords,
    threads: Threads,
    now: datetime,
) -> tuple[list[NewEvent], list[ListReply]]:
    """Act on ``item`` if it is among ``said``: the event of an opt-in, and what is to be said.

    Nothing happens while the number is blocked: it takes a START first.
    """
    word = said.words.get(item.id)
    if word is None:
        return [], []
    thread_id = threads[item.sender.id, item.contact.id].id
    joined = said.lists.get(word)
    is_answer = joined is None
    if joined is None:
        joined = find_asked(conn, account_id, item.contact.id, thread_id, now)
    if joined is None or is_opted_out(conn, account_id, item.contact.mobile):
        return [], []
    if is_answer:
        heard = opt_in(conn, account_id, joined, item.contact.id, now)
    else:
        heard = take_keyword(conn, account_id, joined, item.contact.id, thread_id, now)
    if heard.asks:
        return [], [ListReply(item, joined.name, joined.prompt or None)]
    if heard.opted_in is None:
        return [], []
    events = [_event(account_id, EventType.LIST_OPT_IN, item, thread_id, heard.opted_in)]
    if joined.confirmation and heard.confirms:
        return events, [ListReply(item, joined.name, joined.confirmation)]
    return events, []


def leave_lists(
    conn: psycopg.Connection, account_id: UUID, item: Incoming, threads: Threads, now: datetime
) -> list[NewEvent]:
    """The handset that wrote ``item`` opted out: so it does of each list that it was on."""
    thread_id = threads[item.sender.id, item.contact.id].id
    return [
        _event(account_id, EventType.LIST_OPT_OUT, item, thread_id, member)
        for member in opt_out_of_all(conn, account_id, item.contact.id, now)
    ]


@dataclass(frozen=True, slots=True)
class Said:
    lanes: Sequence[UUID] = ()
    has_events: bool = False


def send_list_replies(
    conn: psycopg.Connection, account_id: UUID, replies: Sequence[ListReply], now: datetime
) -> Said:
    """Queue ``replies`` as texts of the conversations; the balance is taken from last."""
    if not replies:
        return Said()
    try:
        account = replace(get_terms(conn, account_id), duplicate_guard=False)
    except NotFound:
        return Said()  # A disabled account says nothing.
    of_text: defaultdict[str, list[Incoming]] = defaultdict(list)
    for reply in replies:
        template = reply.template
        if template is None:
            # The name is no template, whatever it has in it.
            template = list_prompt(account.name, reply.list_name).replace("{{", "{")
        of_text[template].append(reply.item)
    lanes: list[UUID] = []
    has_events = False
    for template, items in of_text.items():
        try:
            wording = get_wording(conn, account, template, [])
        except ViestiError as error:
            # It was checked when it was saved, so our limits are others now. The text that came
            # is taken all the same.
            log.warning("list_reply_unreadable", account_id=str(account_id), code=error.code)
            continue
        order = Order(job_id=None, wording=wording, is_bulk=False)
        accepted = accept(conn, account, order, [_recipient(item) for item in items], now)
        lanes += [hint.lane_id for hint in accepted.wake]
        has_events |= accepted.has_events
    return Said(lanes, has_events)


def _recipient(item: Incoming) -> Recipient:
    # That the contact is new was told when the text was stored; a block was looked up since.
    contact = replace_fields(item.contact, inserted=False, changed=False, blocked_at=None)
    return Recipient(contact, sender_id=item.sender.id, is_reply=True)


def _event(
    account_id: UUID, kind: EventType, item: Incoming, thread_id: UUID, member: Membership
) -> NewEvent:
    return NewEvent(
        account_id,
        kind,
        contact_id=item.contact.id,
        conversation_id=thread_id,
        facts={"list": membership_view(member)},
    )
