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

from viesti.domain.contacts.models import (
    ContactError,
    ContactInput,
    MergeStrategy,
    ParsedContact,
    parse_contact,
    raw_mobile,
)
from viesti.domain.contacts.upsert import ContactRow, find_contacts_by_id, upsert_contacts
from viesti.domain.messages.models import AttributeFilter, SendFilters, SendRequest
from viesti.kit.errors import Invalid, TooLarge
from viesti.kit.ids import find_id

MAX_RECIPIENTS = 10_000
_NO_CONTACT = ContactError("CONT-002", "No contact has this id; check it or give a mobile number.")
_NO_CONVERSATION = ContactError("CONV-001", "The conversation id is not valid.")


@dataclass(slots=True)
class Recipient:
    """One text to one contact; ``sender_id`` is set where a conversation fixes it."""

    contact: ContactRow
    sender_id: UUID | None = None
    is_reply: bool = False


@dataclass(slots=True)
class Recipients:
    found: list[Recipient] = field(default_factory=list[Recipient])
    invalid: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requested: int = 0


def resolve_recipients(
    conn: psycopg.Connection,
    account_id: UUID,
    request: SendRequest,
    default_country: str,
    now: datetime,
) -> Recipients:
    """Everybody whom ``request`` names, in its order; unknown numbers become contacts.

    Raises Invalid MSG-010 if it names nobody, TooLarge GEN-413 beyond ``MAX_RECIPIENTS``.
    """
    named = request.contacts or []
    conversations = request.conversations or []
    filters = request.filters if isinstance(request.filters, SendFilters) else None
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
    _resolve_conversations(conn, account_id, conversations, result)
    if filters:
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
    by_mobile = upsert_contacts(
        conn,
        account_id,
        [entry for entry in parsed if isinstance(entry, ParsedContact)],
        MergeStrategy.APPEND,
        now,
    )
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
    filters: SendFilters,
    room: int,
    result: Recipients,
) -> None:
    clauses = ["account_id = %s", "deleted_at IS NULL"]
    values: list[Any] = [account_id]
    if filters.tags:
        clauses.append("tags @> %s")
        values.append(list(filters.tags))
    for written in filters.attributes or ():
        clause, bound = _attribute_clause(written)
        clauses.append(clause)
        values.extend(bound)
    rows = conn.execute(
        f"SELECT id FROM contacts WHERE {' AND '.join(clauses)} ORDER BY id LIMIT %s".encode(),
        (*values, room + 1),
    ).fetchall()
    if len(rows) > room:
        raise TooLarge(
            f"The filters match more than the {MAX_RECIPIENTS} recipients that one call takes:"
            " narrow them."
        )
    already = {recipient.contact.id for recipient in result.found}
    found = find_contacts_by_id(conn, account_id, [row[0] for row in rows])
    for row in rows:
        if row[0] in found and row[0] not in already:
            result.requested += 1
            result.found.append(Recipient(found[row[0]]))


_COMPARATORS = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "<>"}
_NUMBER = r"^\s*-?[0-9]+(\.[0-9]+)?\s*$"


def _attribute_clause(written: AttributeFilter | str) -> tuple[str, list[Any]]:
    """SQL for one clause: numeric when both sides are numbers, else text; OR within a list.

    A contact without the attribute is unequal to everything, equal to the empty text, and
    neither above nor below anything. Nor is a word above or below a number.
    """
    if isinstance(written, str):
        try:
            written = msgspec.json.decode(written, type=AttributeFilter)
        except msgspec.MsgspecError as error:
            name, found, value = written.partition("=")
            if not found:
                raise Invalid("An attribute filter as text is written name=value.") from error
            written = AttributeFilter(name=name.strip(), value=value.strip())
    name = written.attribute or written.name
    if not name:
        raise Invalid("An attribute filter needs the attribute's name.")
    if written.comparator not in _COMPARATORS:
        raise Invalid("The comparator of an attribute filter is one of = != < <= > >=.")
    comparator = _COMPARATORS[written.comparator]
    given = written.value if isinstance(written.value, list) else [written.value]
    if not given or None in given:
        raise Invalid("An attribute filter needs a value.")
    is_order = comparator not in ("=", "<>")
    stored = "attributes ->> %s" if is_order else "COALESCE(attributes ->> %s, '')"
    parts: list[str] = []
    values: list[Any] = []
    for value in given:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not _is_number(text):
            parts.append(f"{stored} {comparator} %s")
            values.extend((name, text))
            continue
        parts.append(
            f"CASE WHEN attributes ->> %s ~ '{_NUMBER}'"
            f" THEN (attributes ->> %s)::numeric {comparator} %s::numeric"
            + (" ELSE false END" if is_order else f" ELSE {stored} {comparator} %s END")
        )
        values.extend((name, name, text) if is_order else (name, name, text, name, text))
    joiner = " AND " if comparator == "<>" else " OR "
    return f"({joiner.join(parts)})", values


def _is_number(text: str) -> bool:
    head, _, tail = text.strip().removeprefix("-").partition(".")
    return len(text) < 40 and text.isascii() and head.isdigit() and (not tail or tail.isdigit())
