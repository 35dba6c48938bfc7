"""Rows of a file into contacts: what the small file's one call and a large file's chunks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.contacts.models import MergeStrategy, ParsedContact
from viesti.domain.contacts.upsert import ContactRow, upsert_contacts
from viesti.domain.imports.columns import Columns
from viesti.domain.imports.models import Chunk
from viesti.domain.imports.rows import RefusedRow, RowReader
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """Rows that were read: the contacts in them, in the file's order, and the rows refused."""

    count: int
    good: list[ParsedContact]
    refused: list[RefusedRow]


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that was answered at once; ``submitted`` are its rows, the header aside."""

    submitted: int
    contacts: list[ContactRow]
    refused: list[RefusedRow]
    columns: Columns
    has_events: bool


def parse_rows(reader: RowReader, chunks: Sequence[Chunk]) -> ParsedRows:
    """The contacts that stand in ``chunks``; pure."""
    refused: list[RefusedRow] = []
    good: list[ParsedContact] = []
    for chunk in chunks:
        for row, cells in enumerate(chunk.rows, chunk.first_row):
            found = reader.read(row, cells)
            if isinstance(found, RefusedRow):
                refused.append(found)
            else:
                good.append(found)
    return ParsedRows(sum(len(chunk.rows) for chunk in chunks), good, refused)


def merge_rows(
    conn: psycopg.Connection,
    account_id: UUID,
    parsed: ParsedRows,
    strategy: MergeStrategy,
    now: datetime,
) -> list[ContactRow]:
    """Merge the rows into the account's contacts; each contact once, in the file's order.

    The later row of a number wins. Consent is never touched.
    """
    stored = upsert_contacts(conn, account_id, parsed.good, strategy, now)
    numbers = dict.fromkeys(contact.mobile for contact in parsed.good)
    return [stored[number] for number in numbers]


def import_now(
    conn: psycopg.Connection,
    account_id: UUID,
    columns: Columns,
    default_country: str,
    chunks: Sequence[Chunk],
    strategy: MergeStrategy,
    now: datetime,
) -> Imported:
    """A whole small file in the caller's transaction, with an event for each contact."""
    parsed = parse_rows(RowReader(columns, default_country), chunks)
    contacts = merge_rows(conn, account_id, parsed, strategy, now)
    events = [
        NewEvent(
            account_id,
            EventType.CONTACT_CREATED if contact.inserted else EventType.CONTACT_UPDATED,
            contact_id=contact.id,
        )
        for contact in contacts
        if contact.inserted or contact.changed
    ]
    return Imported(
        parsed.count,
        contacts,
        parsed.refused,
        columns,
        record_events(conn, events, now),
    )
