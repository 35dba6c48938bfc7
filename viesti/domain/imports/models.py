"""Contact files that are worked off in the background: the words of the room, and its bounds."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports.columns import Columns

# A file of as many rows is answered at once, with everything (product decisions, "bulk").
INLINE_ROWS = 10_000
# So is none that takes more than this, since all of it is in memory then.
INLINE_CHARS = 8 * 1024 * 1024
# One chunk is one transaction, well under a second: who sends to the same people waits no longer.
CHUNK_ROWS = 2_000
CHUNK_CHARS = 1024 * 1024
# Refused rows that are kept to be read; all are counted.
MAX_ERRORS = 1_000
# Files of one account that are not worked off yet.
MAX_OPEN = 10

IMPORT_NOT_FOUND = "JOB-001"
TOO_MANY_OPEN = "IMP-003"


class State(enum.Enum):
    UPLOADING = "uploading"  # not accepted yet: nobody sees it; ends as running, or is deleted
    RUNNING = "running"
    COMPLETE = "complete"
    CANCELED = "canceled"  # by a client, while running
    FAILED = "failed"  # by a row that the database refused


@dataclass(frozen=True, slots=True)
class Import:
    """A file and how far it is; the row counts leave the header aside.

    ``inserted`` and ``updated`` count contacts, each once: two rows of one number are one.
    """

    account_id: UUID
    id: UUID
    state: State
    strategy: MergeStrategy
    columns: Columns
    default_country: str
    octets: int
    rows: int
    chunks: int
    chunks_done: int
    rows_done: int
    rows_failed: int
    inserted: int
    updated: int
    created_at: datetime
    worked_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a file; ``first_row`` counts from 1."""

    first_row: int
    rows: list[list[str]]
