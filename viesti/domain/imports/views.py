"""Imports as clients see them: pure functions to the wire's shape; used by the API."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from viesti.domain.contacts.views import contact_view, moment_view, refused_view
from viesti.domain.imports.apply import Imported
from viesti.domain.imports.models import Import
from viesti.domain.imports.rows import RefusedRow


def refused_row_view(refused: RefusedRow) -> dict[str, Any]:
    """A row that was not stored: a contact that is not valid, and ``row``."""
    given: dict[str, Any] = {"row": refused.row}
    if refused.first_name:
        given["firstName"] = refused.first_name
    if refused.last_name:
        given["lastName"] = refused.last_name
    return refused_view(
        refused.number, refused.country, refused.error.code, refused.error.description, given
    )


def imported_view(done: Imported, hidden_tags: Collection[str]) -> dict[str, Any]:
    """The schema ``ContactUploadResponse`` of a file that was worked off at once.

    ``success`` counts rows, ``inserted`` and ``updated`` count contacts.
    """
    inserted = sum(contact.inserted for contact in done.contacts)
    view: dict[str, Any] = {
        "submitted": done.submitted,
        "inserted": inserted,
        "updated": len(done.contacts) - inserted,
        "success": done.submitted - len(done.refused),
        "contacts": [contact_view(contact, hidden_tags) for contact in done.contacts],
        "errors": [refused_row_view(refused) for refused in done.refused],
    }
    if done.columns.ignored:
        view["ignoredColumns"] = list(done.columns.ignored)
    return view


def accepted_view(row: Import) -> dict[str, Any]:
    """``ContactUploadResponse`` of a file that goes on as a job: its counts so far."""
    view: dict[str, Any] = {**_counts(row), "contacts": [], "errors": [], "jobId": str(row.id)}
    if row.columns.ignored:
        view["ignoredColumns"] = list(row.columns.ignored)
    return view


def import_view(row: Import, refused: Sequence[RefusedRow] = ()) -> dict[str, Any]:
    """How far a file is: ``submitted`` rows, ``done`` so many of them, ``failed`` so many."""
    view: dict[str, Any] = {
        "id": str(row.id),
        "type": "import",
        "status": row.state.value,
        "mergeStrategy": row.strategy.value,
        **_counts(row),
        "done": row.rows_done,
        "failed": row.rows_failed,
        "errors": [refused_row_view(one) for one in refused],
        "created": moment_view(row.created_at),
    }
    if row.ended_at is not None:
        view["ended"] = moment_view(row.ended_at)
    if row.columns.ignored:
        view["ignoredColumns"] = list(row.columns.ignored)
    return view


def _counts(row: Import) -> dict[str, int]:
    return {
        "submitted": row.rows,
        "inserted": row.inserted,
        "updated": row.updated,
        "success": row.rows_done - row.rows_failed,
    }
