"""One row of a contact file to a contact, or to why it is none; pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from viesti.domain.contacts.models import (
    ContactError,
    ContactInput,
    MobileInput,
    ParsedContact,
    parse_contact,
)
from viesti.domain.imports.columns import Columns

# Of what a refused row holds, so much is kept to show.
MAX_SHOWN_CHARS = 64
# Within one cell of tags (product.md 1.10).
TAG_SEPARATOR = "|"

_TOO_MANY = ContactError(
    "CONT-003", "The row has more cells than the header; a quote may be missing."
)
_NUL = ContactError("CONT-003", "The row holds a NUL character, which cannot be stored.")


class RefusedRow(msgspec.Struct, frozen=True):
    """A row that was not stored, and why; ``row`` counts from 1, the header aside.

    The other fields are as the file has them, cut to what is shown of them.
    """

    row: int
    number: str
    country: str
    first_name: str
    last_name: str
    error: ContactError


class RowReader:
    """Reads rows under one header; a number without a country's code is of ``default_country``."""

    def __init__(self, columns: Columns, default_country: str) -> None:
        self._columns = columns
        self._default_country = default_country

    def read(self, row: int, cells: list[str]) -> ParsedContact | RefusedRow:
        """The contact in the ``row``-th row. An empty cell counts as not given."""
        columns = self._columns
        if len(cells) != columns.width:
            if any(cells[columns.width :]):
                return self._refused(row, cells, _TOO_MANY)
            cells = cells + [""] * (columns.width - len(cells))
        if any("\0" in cell for cell in cells):
            return self._refused(row, cells, _NUL)
        tags = _cell(cells, columns.tags)
        parsed = parse_contact(
            ContactInput(
                mobile=MobileInput(
                    # An apostrophe keeps spreadsheets from reading a number as a sum.
                    cells[columns.mobile].strip().removeprefix("'"),
                    _cell(cells, columns.country),
                ),
                first_name=_cell(cells, columns.first_name) or UNSET,
                last_name=_cell(cells, columns.last_name) or UNSET,
                email=_cell(cells, columns.email) or UNSET,
                attributes={
                    name: cells[position]
                    for position, name in columns.attributes
                    if cells[position]
                },
                tags=tags.split(TAG_SEPARATOR) if tags else UNSET,
            ),
            self._default_country,
        )
        return self._refused(row, cells, parsed) if isinstance(parsed, ContactError) else parsed

    def _refused(self, row: int, cells: Sequence[str], error: ContactError) -> RefusedRow:
        columns = self._columns
        shown = (
            _cell(cells, position).strip().replace("\0", "")[:MAX_SHOWN_CHARS]
            for position in (columns.mobile, columns.country, columns.first_name, columns.last_name)
        )
        return RefusedRow(row, *shown, error=error)


def _cell(cells: Sequence[str], position: int | None) -> str:
    return cells[position] if position is not None and position < len(cells) else ""
