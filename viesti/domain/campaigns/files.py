"""The file of a campaign: its rows are stored with the run, and become texts chunk by chunk.

The API calls ``take_file``; the ``work`` role calls ``read_on`` until nothing is left. A chunk is
deleted in the transaction that stores its texts, under the lock of the job's row, so that each
row gives one text, whatever is killed when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from viesti.domain.campaigns.mapping import FileReader, Row, has_number, map_header
from viesti.domain.campaigns.models import BadFile, RunState, Trigger, WrongState
from viesti.domain.campaigns.runs import Acted, check_ready, new_run, refuse_second
from viesti.domain.campaigns.store import get_campaign, insert_run
from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.contacts.upsert import upsert_contacts
from viesti.domain.imports.charset import read_text
from viesti.domain.imports.records import Record, read_records
from viesti.domain.imports.rows import RefusedRow
from viesti.domain.messages.accept import Order, accept, get_wording
from viesti.domain.messages.expansion import Worked
from viesti.domain.messages.recipients import Recipient
from viesti.domain.messages.terms import get_terms
from viesti.kit.ids import new_id

PIECE_OCTETS = 64 * 1024
CHUNK_ROWS = 500
MAX_ROWS = 500_000
MOST_RUNS = 1_000
# Of the rows that gave no text so many are shown, as ``lastJob.invalid``.
MAX_INVALID = 100


def take_file(
    conn: psycopg.Connection,
    account_id: UUID,
    campaign_id: str,
    octets: bytes,
    charset: str,
    credential_id: UUID | None,
    now: datetime,
) -> Acted:
    """Run a campaign for the rows of a CSV file: each is a contact, and a text to it.

    Columns are mapped by ``fieldMappings``; without any, by their names as contact files are.
    Raises NotFound (CAMP-001), Conflict (CAMP-004, -005), Invalid: CAMP-007 for a campaign of
    another trigger or a column that is missing, IMP-001 and -002 for what is no contact file.
    """
    campaign = get_campaign(conn, account_id, campaign_id, lock=True)
    if campaign.trigger is not Trigger.FILE:
        raise BadFile("Only a campaign with the trigger FU takes a file.")
    check_ready(conn, campaign)
    refuse_second(conn, campaign)
    mappings = campaign.field_mappings
    # In pieces, or half a million lines would stand in memory at once.
    pieces = (octets[at : at + PIECE_OCTETS] for at in range(0, len(octets), PIECE_OCTETS))
    header, records = read_records(
        read_text(pieces, charset), lambda row: has_number(row, mappings)
    )
    country = get_terms(conn, account_id).default_country
    plan = map_header(header, mappings, country)
    run = new_run(campaign, now, RunState.READING, now, job_id=new_id())
    count = 0
    for chunk, rows in enumerate(_chunks(records)):
        count += len(rows)
        if count > MAX_ROWS:
            raise BadFile(f"A campaign's file may have at most {MAX_ROWS} rows; split it.")
        conn.execute(
            "INSERT INTO campaign_rows (account_id, run_id, chunk, rows) VALUES (%s, %s, %s, %s)",
            (account_id, run.id, chunk, Jsonb(rows)),
        )
    if not count:
        raise BadFile("The file has a header and no rows.")
    if not insert_run(conn, run, look_at=now, file=msgspec.to_builtins(plan)):
        raise WrongState("The campaign was started at this very moment.")
    conn.execute(
        "INSERT INTO jobs (account_id, id, template, type, media, group_id, credential_id,"
        " campaign_run_id, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            account_id,
            run.job_id,
            campaign.template,
            "MMS" if campaign.media else "SMS",
            Jsonb(list(campaign.media)),
            campaign.group_id or None,
            credential_id,
            run.id,
            now,
        ),
    )
    return Acted(campaign, run)


def find_reading(conn: psycopg.Connection, _now: datetime) -> list[tuple[UUID, UUID]]:
    """(account, run) of every run whose file has rows left, those that wait longest first."""
    return conn.execute(
        "SELECT account_id, id FROM campaign_runs WHERE look_at IS NOT NULL AND state = 'reading'"
        " ORDER BY look_at LIMIT %s",
        (MOST_RUNS,),
    ).fetchall()


def pause_reading(conn: psycopg.Connection) -> None:
    """Pause the job of every file that is being read."""
    conn.execute(
        "UPDATE jobs j SET state = 'paused' FROM campaign_runs r WHERE r.state = 'reading'"
        " AND j.account_id = r.account_id AND j.id = r.job_id AND j.state = 'open'"
    )


def read_on(conn: psycopg.Connection, account_id: UUID, run_id: UUID, now: datetime) -> Worked:
    """Make the texts of the run's next chunk; nothing if another is at it, or it is paused.

    Raises NotFound (ACCT-008) while the account is disabled.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        job = cursor.execute(
            "SELECT j.id, j.template, j.type, j.media, j.group_id, j.state, r.file"
            " FROM campaign_runs r"
            " JOIN jobs j ON j.account_id = r.account_id AND j.id = r.job_id"
            " WHERE r.account_id = %(account)s AND j.account_id = %(account)s AND r.id = %(run)s"
            " AND r.state = 'reading' FOR UPDATE OF j SKIP LOCKED",
            {"account": account_id, "run": run_id},
        ).fetchone()
    if job is not None and job["state"] in ("canceling", "canceled"):
        conn.execute(
            "DELETE FROM campaign_rows WHERE account_id = %s AND run_id = %s", (account_id, run_id)
        )
    elif job is None or job["state"] != "open":
        return Worked()
    found = conn.execute(
        "DELETE FROM campaign_rows WHERE account_id = %(account)s AND run_id = %(run)s"
        " AND chunk = (SELECT min(chunk) FROM campaign_rows WHERE account_id = %(account)s"
        "  AND run_id = %(run)s) RETURNING chunk, rows",
        {"account": account_id, "run": run_id},
    ).fetchone()
    if found is None:
        conn.execute(
            "UPDATE campaign_runs SET state = 'running', look_at = %s"
            " WHERE account_id = %s AND id = %s AND state = 'reading'",
            (now, account_id, run_id),
        )
        return Worked(True)
    chunk, rows = found
    reader = FileReader.of(job["file"])
    read = [reader.read(n, cells) for n, cells in enumerate(rows, chunk * CHUNK_ROWS + 1)]
    good = [row for row in read if isinstance(row, Row)]
    refused = [row for row in read if isinstance(row, RefusedRow)]
    stored = upsert_contacts(
        conn, account_id, [row.contact for row in good], MergeStrategy.APPEND, now
    )
    recipients: list[Recipient] = []
    for row in good:
        contact = stored[row.contact.mobile]
        # The text is merged with this row, whatever a later row of the same number says.
        merged = msgspec.structs.replace(contact, attributes=contact.attributes | row.cells)
        recipients.append(Recipient(merged))
    account = get_terms(conn, account_id)
    order = Order(
        job_id=job["id"],
        wording=get_wording(conn, account, job["template"], job["media"]),
        type=job["type"],
        media=job["media"],
        group_id=job["group_id"],
    )
    accepted = accept(conn, account, order, recipients, now)
    conn.execute(
        "UPDATE jobs SET requested = requested + %(rows)s, valid = valid + %(valid)s,"
        " invalid = invalid + %(invalid)s, queued = queued + %(queued)s,"
        " price_micros = price_micros + %(price)s,"
        " first_message_id = LEAST(first_message_id, %(first)s),"
        " last_message_id = GREATEST(last_message_id, %(last)s)"
        " WHERE account_id = %(account)s AND id = %(job)s",
        {
            "account": account_id,
            "job": job["id"],
            "rows": len(rows),
            "valid": len(rows) - len(refused) - len(accepted.invalid),
            "invalid": len(refused) + len(accepted.invalid),
            "queued": accepted.queued,
            "price": accepted.price_micros,
            "first": accepted.first_id,
            "last": accepted.last_id,
        },
    )
    if refused:
        _show_refused(conn, account_id, run_id, refused)
    return Worked(True, accepted.wake, accepted.has_events)


def _show_refused(
    conn: psycopg.Connection, account_id: UUID, run_id: UUID, refused: Sequence[RefusedRow]
) -> None:
    row = conn.execute(
        "SELECT invalid FROM campaign_runs WHERE account_id = %s AND id = %s FOR UPDATE",
        (account_id, run_id),
    ).fetchone()
    shown: list[Any] = row[0] if row else []
    shown += [_refused_view(entry) for entry in refused[: MAX_INVALID - len(shown)]]
    conn.execute(
        "UPDATE campaign_runs SET invalid = %s WHERE account_id = %s AND id = %s",
        (Jsonb(shown), account_id, run_id),
    )


def _refused_view(entry: RefusedRow) -> dict[str, Any]:
    mobile = {"number": entry.number} | ({"country": entry.country} if entry.country else {})
    return {
        "row": entry.row,
        "mobile": mobile,
        "valid": False,
        "error": {"code": entry.error.code, "description": entry.error.description},
    }


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    rows: list[Record] = []
    for record in records:
        # PostgreSQL's JSON holds no NUL.
        rows.append([cell.replace("\x00", "") for cell in record])
        if len(rows) == CHUNK_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows
