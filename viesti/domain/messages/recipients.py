"""Finds out whom a send is for: contacts as written, conversations and filters -> contacts.

Used by ``send`` only. Whoever cannot be texted comes back in the shape of the answer's
``invalid`` list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec import UNSET
from psycopg.errors import QueryCanceled

from viesti.domain.contacts.models import (
    ContactError,
    ContactInput,
    MergeStrategy,
    ParsedContact,
    parse_contact,
    raw_mobile,
)
from viesti.domain.contacts.upsert import ContactRow, Writing, begin_upsert, find_contacts_by_id
from viesti.domain.messages.matches import LAST, Filters, find_matches, narrows, next_stretch
from viesti.domain.messages.models import SendRequest
from viesti.kit.errors import Invalid, TooLarge
from viesti.kit.ids import find_id

MAX_RECIPIENTS = 10_000
# A filter that takes longer to look up belongs to a large account: a job reads it.
LOOK_UP_MS = 120
_NO_CONTACT = ContactError("CONT-002", "No contact has this id; check it or give a mobile number.")
_NO_CONVERSATION = ContactError("CONV-001", "The conversation id is not valid.")


# A struct rather than a dataclass: ten thousand are made in one call, in no cycle.
class Recipient(msgspec.Struct, gc=False):
    """One text to one contact; ``sender_id`` is set where a conversation fixes it."""

    contact: ContactRow
    sender_id: UUID | None = None
    is_reply: bool = False


@dataclass(slots=True)
class Recipients:
    found: list[Recipient] = field(default_factory=list[Recipient])
    invalid: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requested: int = 0
    rest: Filters | None = None  # matches more than a call takes: a job reads them
    # Set where the contacts of ``found`` are still to be stored: by ``accept``, beside its work.
    writing: Writing | None = None


def resolve_recipients(
    conn: psycopg.Connection,
    account_id: UUID,
    request: SendRequest,
    default_country: str,
    now: datetime,
    *,
    is_later: bool = False,
) -> Recipients:
    """Everybody whom ``request`` names, in its order; unknown numbers become contacts.

    Filters that match more than there is room for, or that take long to look up, come back as
    ``rest``; so do all filters of a send for later (``is_later``), which matches whom it matches
    then. Raises Invalid MSG-010 if it names nobody, TooLarge GEN-413 beyond ``MAX_RECIPIENTS``.
    """
    named = request.contacts or []
    conversations = request.conversations or []
    filters = request.filters if isinstance(request.filters, Filters) else None
    if filters is not None and not narrows(filters):
        filters = None
    # Entries without number and id, such as those of foreign field names, name nobody.
    names_contacts = any(raw_mobile(entry)[0] or entry.id for entry in named)
    if not names_contacts and not conversations and not filters:
        raise Invalid(
            "The request names no recipients: give contacts, conversations or filters.", "MSG-010"
        )
    if len(named) + len(conversations) > MAX_RECIPIENTS:
        raise TooLarge(
            f"One call takes at most {MAX_RECIPIENTS} contacts and conversations:"
            " split it, or import the contacts and send by filters."
        )
    result = Recipients()
    _resolve_contacts(conn, account_id, named, default_country, now, result)
    if (conversations or filters) and result.writing is not None:
        # They may lead to the contacts just named.
        result.writing.finish()
        result.writing = None
    _resolve_conversations(conn, account_id, conversations, result)
    if filters and is_later:
        result.rest = filters
    elif filters:
        room = MAX_RECIPIENTS - len(named) - len(conversations)
        _resolve_filters(conn, account_id, filters, room, result)
    return result


def _resolve_contacts(
    conn: psycopg.Connection,
    account_id: UUID,
    named: Sequence[ContactInput],
    default_country: str,
    now: datetime,
    result: Recipients,
) -> None:
    parsed: list[ParsedContact | UUID | ContactError] = []
    for entry in named:
        # A mobile number decides; an id beside it may be the client's own (seen in the wild).
        if raw_mobile(entry)[0]:
            parsed.append(parse_contact(entry, default_country))
        else:
            parsed.append(find_id(entry.id) or (_NO_CONTACT if entry.id else _bad(entry)))
    by_id = find_contacts_by_id(
        conn, account_id, [entry for entry in parsed if isinstance(entry, UUID)]
    )
    result.writing = begin_upsert(
        conn,
        account_id,
        [entry for entry in parsed if isinstance(entry, ParsedContact)],
        MergeStrategy.APPEND,
        now,
    )
    by_mobile = result.writing.rows
    for written, entry in zip(named, parsed, strict=True):
        result.requested += 1
        if isinstance(entry, ParsedContact):
            result.found.append(Recipient(by_mobile[entry.mobile]))
        elif isinstance(entry, UUID) and entry in by_id:
            result.found.append(Recipient(by_id[entry]))
        else:
            error = entry if isinstance(entry, ContactError) else _NO_CONTACT
            result.invalid.append(_invalid_entry(written, error))


def _bad(entry: ContactInput) -> ContactError:
    found = parse_contact(entry, "")
    return found if isinstance(found, ContactError) else _NO_CONTACT


def _invalid_entry(written: ContactInput, error: ContactError) -> dict[str, Any]:
    """What the client wrote, with the embedded error."""
    entry: dict[str, Any] = {}
    if isinstance(written.id, (str, int)):
        entry["id"] = str(written.id)
    number, country = raw_mobile(written)
    if number:
        entry["mobile"] = {"number": number} | ({"country": country} if country else {})
    for name in ("first_name", "last_name", "email"):
        value = getattr(written, name)
        if value is not UNSET and value is not None:
            wire = {"first_name": "firstName", "last_name": "lastName"}.get(name, name)
            entry[wire] = str(value)
    entry["valid"] = False
    entry["error"] = {"code": error.code, "description": error.description}
    return entry


def _resolve_conversations(
    conn: psycopg.Connection, account_id: UUID, named: Sequence[str], result: Recipients
) -> None:
    if not named:
        return
    ids = [find_id(text) for text in named]
    rows = conn.execute(
        "SELECT id, contact_id, sender_id FROM conversations"
        " WHERE account_id = %s AND id = ANY(%s)",
        (account_id, [found for found in ids if found]),
    ).fetchall()
    threads: dict[UUID, tuple[UUID, UUID]] = {row[0]: (row[1], row[2]) for row in rows}
    contacts = find_contacts_by_id(conn, account_id, [row[1] for row in rows])
    for text, found in zip(named, ids, strict=True):
        result.requested += 1
        thread = threads.get(found) if found else None
        contact = contacts.get(thread[0]) if thread else None
        if thread and contact:
            result.found.append(Recipient(contact, thread[1], is_reply=True))
        else:
            result.invalid.append(
                {
                    "conversation": {"id": text},
                    "valid": False,
                    "error": {
                        "code": _NO_CONVERSATION.code,
                        "description": _NO_CONVERSATION.description,
                    },
                }
            )


def _resolve_filters(
    conn: psycopg.Connection,
    account_id: UUID,
    filters: Filters,
    room: int,
    result: Recipients,
) -> None:
    # Of a small account the first stretch is all; of a large one it often has too many already.
    stretch = next_stretch(conn, account_id, filters, None, LAST, room + 1)
    ids: list[UUID] | None = stretch.ids
    if stretch.reached is not None and len(stretch.ids) <= room:
        ids = _look_up(conn, account_id, filters, room + 1)
    if ids is None or len(ids) > room:
        result.rest = filters
        return
    already = {recipient.contact.id for recipient in result.found}
    found = find_contacts_by_id(conn, account_id, ids)
    for contact_id in ids:
        if contact_id in found and contact_id not in already:
            result.requested += 1
            result.found.append(Recipient(found[contact_id]))


def _look_up(
    conn: psycopg.Connection, account_id: UUID, filters: Filters, limit: int
) -> list[UUID] | None:
    """The first ``limit`` that match; None if that takes long."""
    try:
        # Rolled back, so that the rest of the transaction has its usual time.
        with conn.transaction(force_rollback=True):
            conn.execute("SELECT set_config('statement_timeout', %s, true)", (f"{LOOK_UP_MS}ms",))
            return find_matches(conn, account_id, filters, None, limit)
    except QueryCanceled:
        return None
