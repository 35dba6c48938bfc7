"""Stores what handsets write: contact, conversation, message, consent, money; used by the handler.

All texts of one account in a batch are taken in one transaction. Rows are locked in the order
that the send uses (contacts, recent texts, conversations, messages, balance last), so that the
two wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.contacts.models import MergeStrategy, ParsedContact
from viesti.domain.contacts.upsert import ContactRow, find_contacts_by_mobile, upsert_contacts
from viesti.domain.messages.duplicates import forget
from viesti.domain.messages.inbox import Incoming, store_incoming
from viesti.domain.messages.pricing import get_prices
from viesti.domain.messages.progress import advance
from viesti.domain.messages.store import charge_received
from viesti.domain.senders.choice import SenderRow
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.inbound.addresses import Handset, clean, read_handset
from viesti.inbound.consent import apply_keywords, flag_intent
from viesti.inbound.lists import send_list_replies
from viesti.inbound.parts import Joined, Part, add_part
from viesti.inbound.seen import Sighting, find_fresh, hash_payload
from viesti.kit.ids import new_id
from viesti.sms.reassembly import decode_text
from viesti.sms.segments import count_segments
from viesti.sms.udh import find_concatenation


@dataclass(frozen=True, slots=True)
class ArrivedText:
    """(A part of) a handset's text that came to ``owner``; ``handset`` is as the carrier wrote."""

    id: UUID
    session_id: UUID
    owner: SenderRow
    handset: str
    payload: bytes
    data_coding: int
    has_udh: bool


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A whole text, decoded. ``segments`` is how many PDUs it came in; 0: to be counted."""

    owner: SenderRow
    handset: Handset
    text: str
    segments: int = 0


@dataclass(slots=True)
class TextsTaken:
    lanes: list[UUID] = field(default_factory=list[UUID])
    has_events: bool = False


def take_texts(
    conn: psycopg.Connection,
    account_id: UUID,
    arrived: Sequence[ArrivedText],
    live_sessions: Set[UUID],
    now: datetime,
) -> TextsTaken:
    """Take what came to senders of ``account_id``, in its order; redeliveries change nothing."""
    handsets = {
        (text.handset, text.owner.country): read_handset(text.handset, text.owner.country)
        for text in arrived
    }
    of_text = [handsets[text.handset, text.owner.country] for text in arrived]
    people = _upsert(conn, account_id, of_text, now)
    sightings = [
        Sighting(
            text.id,
            text.session_id,
            text.owner.id,
            handset.mobile,
            hash_payload(text.payload, text.data_coding, has_udh=text.has_udh),
        )
        for text, handset in zip(arrived, of_text, strict=True)
    ]
    fresh = find_fresh(conn, account_id, sightings, live_sessions, now)
    written: list[WrittenText] = []
    for text, handset in zip(arrived, of_text, strict=True):
        if text.id in fresh:
            fresh.discard(text.id)
            written += _read(conn, account_id, text, handset, now)
    return _store(conn, account_id, written, people, now)


def take_written(
    conn: psycopg.Connection, account_id: UUID, written: Sequence[WrittenText], now: datetime
) -> TextsTaken:
    """Store texts whose parts did not all come in time."""
    people = _upsert(conn, account_id, [text.handset for text in written], now)
    return _store(conn, account_id, written, people, now)


def _upsert(
    conn: psycopg.Connection, account_id: UUID, handsets: Sequence[Handset], now: datetime
) -> dict[str, ContactRow]:
    """The contact of each handset, locked: what follows is done for one arrival at a time."""
    nothing = frozenset[str]()
    wanted = {
        handset.mobile: ParsedContact(
            handset.mobile, handset.country, None, None, None, {}, (), nothing
        )
        for handset in handsets
    }
    people = upsert_contacts(conn, account_id, list(wanted.values()), MergeStrategy.APPEND, now)
    locked = find_contacts_by_mobile(conn, account_id, list(people), lock=True)
    for mobile, contact in locked.items():
        contact.inserted = people[mobile].inserted
    # One that was deleted at this very moment keeps its messages, as any deleted one does.
    return people | locked


def _read(
    conn: psycopg.Connection,
    account_id: UUID,
    arrived: ArrivedText,
    handset: Handset,
    now: datetime,
) -> list[WrittenText]:
    """The whole texts that ``arrived`` completes: itself, unless it is a part of a long one."""
    concatenation, body = (
        find_concatenation(arrived.payload) if arrived.has_udh else (None, arrived.payload)
    )
    if concatenation is None or concatenation.total == 1:
        return [WrittenText(arrived.owner, handset, decode_text(body, arrived.data_coding))]
    part = Part(arrived.owner.id, handset.mobile, concatenation, arrived.data_coding & 0xFF, body)
    return [
        from_joined(joined, arrived.owner, handset)
        for joined in add_part(conn, account_id, part, now)
    ]


def from_joined(joined: Joined, owner: SenderRow, handset: Handset) -> WrittenText:
    return WrittenText(owner, handset, joined.text, joined.segments)


def _store(
    conn: psycopg.Connection,
    account_id: UUID,
    written: Sequence[WrittenText],
    people: dict[str, ContactRow],
    now: datetime,
) -> TextsTaken:
    # A contact is news when it is made, which may be some parts before its first whole text.
    events = [
        NewEvent(account_id, EventType.CONTACT_CREATED, contact_id=contact.id)
        for contact in people.values()
        if contact.inserted
    ]
    if not written:
        return TextsTaken(has_events=record_events(conn, events, now))
    incoming = _price(conn, written, people)
    for mobile in sorted({text.handset.mobile for text in written}):
        forget(conn, account_id, mobile)
    threads = store_incoming(conn, account_id, incoming, now)
    told: set[UUID] = set()
    for item in incoming:
        thread = threads[item.sender.id, item.contact.id]
        if thread.started and thread.id not in told:
            told.add(thread.id)
            events.append(
                NewEvent(
                    account_id,
                    EventType.CONVERSATION_STARTED,
                    contact_id=item.contact.id,
                    conversation_id=thread.id,
                )
            )
        events.append(
            NewEvent(
                account_id,
                EventType.MESSAGE_RECEIVED,
                contact_id=item.contact.id,
                conversation_id=thread.id,
                message_id=item.id,
                facts={"status": "received"},
            )
        )
    consent = apply_keywords(conn, account_id, incoming, threads, now)
    flag_intent(conn, account_id, incoming, threads, now)
    has_events = record_events(conn, events + consent.events, now)
    # The balance last: all texts of the account wait for its row.
    has_events |= advance(conn, consent.steps).has_events
    said = send_list_replies(conn, account_id, consent.list_replies, now)
    charge_received(
        conn,
        account_id,
        received_micros=sum(item.price_micros for item in incoming),
        reserved_micros=consent.reserved_micros,
        now=now,
    )
    return TextsTaken([*consent.lanes, *said.lanes], has_events | said.has_events)


def _price(
    conn: psycopg.Connection, written: Sequence[WrittenText], people: dict[str, ContactRow]
) -> list[Incoming]:
    prices = get_prices(conn)
    incoming: list[Incoming] = []
    for text in written:
        contact = people[text.handset.mobile]
        plain = clean(text.text)
        count = count_segments(plain)
        segments = text.segments or max(1, count.segments)
        price = prices.inbound(contact.country, segments)
        encoding = count.encoding.value
        incoming.append(Incoming(new_id(), text.owner, contact, plain, encoding, segments, price))
    return incoming
