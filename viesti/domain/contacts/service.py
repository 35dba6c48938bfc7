"""Creates, changes and deletes contacts; called by the API, the hub and imports.

Consent is never changed here, whatever a client writes: only the handset's keyword, or an
audited act of an administrator, does that (product decisions, "mergeStrategy").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from viesti.domain.contacts.counts import note_removal
from viesti.domain.contacts.models import (
    BAD_NUMBER,
    MAX_NUMBER_CHARS,
    ContactError,
    ContactInput,
    MergeStrategy,
    ParsedContact,
    parse_contact,
    parse_fields,
    raw_mobile,
)
from viesti.domain.contacts.queries import get_contact
from viesti.domain.contacts.tags import note_visibility
from viesti.domain.contacts.upsert import ContactRow, upsert_contacts
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.errors import Conflict, Invalid, TooLarge
from viesti.sms.msisdn import parse_msisdn

MAX_CONTACTS = 10_000  # per call: product decisions, "bulk"
NUMBER_TAKEN = "CONT-004"


@dataclass(frozen=True, slots=True)
class RefusedContact:
    """A contact that was not stored: the number and country as written, and why."""

    number: str
    country: str
    error: ContactError


@dataclass(frozen=True, slots=True)
class Created:
    """One result for each contact that was given, in its order."""

    results: list[ContactRow | RefusedContact]
    has_events: bool


@dataclass(frozen=True, slots=True)
class Updated:
    contact: ContactRow
    has_events: bool


def create_contacts(
    conn: psycopg.Connection,
    account_id: UUID,
    contacts: Sequence[ContactInput],
    strategy: MergeStrategy,
    now: datetime,
) -> Created:
    """Store ``contacts``, merging each into the one that has its number.

    Raises Invalid (GEN-400) for an empty call, TooLarge (GEN-413) beyond ``MAX_CONTACTS``, and
    Invalid under the first contact's code if none of them can be stored.
    """
    if not contacts:
        raise Invalid("The request holds no contact.")
    if len(contacts) > MAX_CONTACTS:
        raise TooLarge(f"One call takes at most {MAX_CONTACTS} contacts; import a file instead.")
    country = _default_country(conn, account_id)
    parsed = [parse_contact(contact, country) for contact in contacts]
    good = [contact for contact in parsed if isinstance(contact, ParsedContact)]
    if not good:
        first = parsed[0]
        assert isinstance(first, ContactError)
        raise Invalid(first.description, first.code)
    rows = upsert_contacts(conn, account_id, good, strategy, now)
    note_visibility(conn, account_id, contacts)
    events = [
        NewEvent(
            account_id,
            EventType.CONTACT_CREATED if row.inserted else EventType.CONTACT_UPDATED,
            contact_id=row.id,
        )
        for row in rows.values()
        if row.inserted or row.changed
    ]
    results: list[ContactRow | RefusedContact] = [
        RefusedContact(*raw_mobile(given), error=contact)
        if isinstance(contact, ContactError)
        else rows[contact.mobile]
        for given, contact in zip(contacts, parsed, strict=True)
    ]
    return Created(results, record_events(conn, events, now))


def update_contact(
    conn: psycopg.Connection, account_id: UUID, contact_id: str, given: ContactInput, now: datetime
) -> Updated:
    """The contact with the given fields changed; absent ones stay, empty ones are cleared.

    Tags and attributes given replace those stored. Raises NotFound (CONT-002), Invalid
    (CONT-001, CONT-003), Conflict (CONT-004) if another contact has the number.
    """
    row = get_contact(conn, account_id, contact_id, lock=True)
    before = _shown(row)
    _change_number(conn, row, given, account_id)
    fields = parse_fields(given, null_clears=True)
    if isinstance(fields, ContactError):
        raise Invalid(fields.description, fields.code)
    if "first_name" in fields.given:
        row.first_name = fields.first_name or None
    if "last_name" in fields.given:
        row.last_name = fields.last_name or None
    if "email" in fields.given:
        row.email = fields.email or None
    if "attributes" in fields.given:
        row.attributes = dict(fields.attributes)
    if "tags" in fields.given:
        row.tags = list(fields.tags)
        note_visibility(conn, account_id, [given])
    if _shown(row) == before:
        return Updated(row, has_events=False)
    row.updated_at = now
    _store(conn, account_id, row)
    if row.mobile != before[0]:
        _forget_list_consent(conn, account_id, row.id)
    event = NewEvent(account_id, EventType.CONTACT_UPDATED, contact_id=row.id)
    # Read again, for a changed number may be one that opted out.
    return Updated(get_contact(conn, account_id, str(row.id)), record_events(conn, [event], now))


def delete_contact(
    conn: psycopg.Connection, account_id: UUID, contact_id: str, now: datetime
) -> bool:
    """Delete the contact; its messages keep showing it. Whether an event was recorded.

    Raises NotFound (CONT-002).
    """
    row = get_contact(conn, account_id, contact_id, lock=True)
    conn.execute(
        "UPDATE contacts SET deleted_at = %s, updated_at = %s WHERE account_id = %s AND id = %s",
        (now, now, account_id, row.id),
    )
    conn.execute(
        "DELETE FROM list_members WHERE account_id = %s AND contact_id = %s", (account_id, row.id)
    )
    note_removal(conn, account_id, row.id)
    event = NewEvent(account_id, EventType.CONTACT_REMOVED, contact_id=row.id)
    return record_events(conn, [event], now)


def _default_country(conn: psycopg.Connection, account_id: UUID) -> str:
    record = conn.execute(
        "SELECT default_country FROM accounts WHERE id = %s", (account_id,)
    ).fetchone()
    return record[0] if record else ""


def _shown(row: ContactRow) -> tuple[object, ...]:
    return (
        row.mobile,
        row.country,
        row.first_name,
        row.last_name,
        row.email,
        row.attributes,
        row.tags,
    )


def _change_number(
    conn: psycopg.Connection, row: ContactRow, given: ContactInput, account_id: UUID
) -> None:
    number, country = raw_mobile(given)
    if not number:
        if given.mobile == "":
            raise Invalid("A contact cannot be without a mobile number.", BAD_NUMBER.code)
        return
    if number == row.mobile:
        return
    msisdn = (
        parse_msisdn(number, country or row.country or _default_country(conn, account_id))
        if len(number) <= MAX_NUMBER_CHARS
        else None
    )
    if msisdn is None:
        raise Invalid(BAD_NUMBER.description, BAD_NUMBER.code)
    if msisdn.e164 != row.mobile:
        # Consent was given by the handset with the old number, not by the person.
        row.opted_in_at = row.noticed_at = None
    row.mobile, row.country = msisdn.e164, msisdn.country


def _forget_list_consent(conn: psycopg.Connection, account_id: UUID, contact_id: UUID) -> None:
    """Lists that the handset with the old number joined are not the new one's; nor is its yes."""
    conn.execute(
        "DELETE FROM list_members WHERE account_id = %s AND contact_id = %s"
        " AND opt_in_at IS NOT NULL AND opt_out_at IS NULL",
        (account_id, contact_id),
    )
    conn.execute(
        "DELETE FROM list_prompts WHERE account_id = %s AND contact_id = %s",
        (account_id, contact_id),
    )


def _store(conn: psycopg.Connection, account_id: UUID, row: ContactRow) -> None:
    try:
        conn.execute(
            "UPDATE contacts SET mobile = %s, country = %s, first_name = %s, last_name = %s,"
            " email = %s, attributes = %s, tags = %s::text[], opted_in_at = %s, noticed_at = %s,"
            " updated_at = %s WHERE account_id = %s AND id = %s",
            (
                row.mobile,
                row.country,
                row.first_name,
                row.last_name,
                row.email,
                Jsonb(row.attributes),
                row.tags,
                row.opted_in_at,
                row.noticed_at,
                row.updated_at,
                account_id,
                row.id,
            ),
        )
    except errors.UniqueViolation as error:
        raise Conflict("Another contact has this mobile number.", NUMBER_TAKEN) from error
