"""How the columns of a campaign's file become contacts and merge fields; pure; used by ``files``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from viesti.domain.campaigns.models import BadFile
from viesti.domain.contacts.models import ContactError, ParsedContact
from viesti.domain.imports.columns import Columns, has_mobile, read_header
from viesti.domain.imports.rows import RefusedRow, RowReader


class Plan(msgspec.Struct, frozen=True):
    """Read once from the header, kept with the run.

    ``cells`` are position and name of every column that a text may merge; ``mandatory`` those
    of the columns without which a row gives no text.
    """

    columns: Columns
    country: str
    cells: tuple[tuple[int, str], ...] = ()
    mandatory: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row's contact, and what its text is merged with beside it."""

    contact: ParsedContact
    cells: dict[str, str]


def has_number(header: Sequence[str], mappings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ``header`` names a column of numbers, by itself or as it is mapped."""
    names = {entry["column"].casefold(): entry["attribute"] for entry in mappings}
    return has_mobile([names.get(name.strip().casefold(), name) for name in header])


def map_header(header: Sequence[str], mappings: Sequence[Mapping[str, Any]], country: str) -> Plan:
    """The plan for a file with this header.

    ``mappings`` name for a column the attribute that it fills: a contact's field (mobile,
    country, firstName, lastName, email, tags) or one of its own. Where there are any, columns
    without one are merged into the text and kept nowhere. Raises Invalid: CAMP-007 for a
    mandatory column that is missing, IMP-001 and -002 as contact files do.
    """
    names = [name.strip() for name in header]
    places = {name.casefold(): position for position, name in enumerate(names)}
    renamed = list(names)
    mapped: set[int] = set()
    mandatory: list[tuple[int, str]] = []
    for mapping in mappings:
        position = places.get(mapping["column"].casefold())
        if position is None and mapping["mandatory"]:
            raise BadFile(f"The file has no column {mapping['column']}.")
        if position is None:
            continue
        renamed[position] = mapping["attribute"]
        mapped.add(position)
        if mapping["mandatory"]:
            mandatory.append((position, names[position]))
    columns = read_header(renamed)
    if mappings:
        kept = tuple(entry for entry in columns.attributes if entry[0] in mapped)
        columns = msgspec.structs.replace(columns, attributes=kept)
    cells = {name: position for position, name in enumerate(names) if name}
    cells |= {name: position for position, name in columns.attributes}
    return Plan(
        columns,
        country,
        tuple((position, name) for name, position in cells.items()),
        tuple(mandatory),
    )


class FileReader:
    """Reads rows by a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows = RowReader(plan.columns, plan.country)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> FileReader:
        """The reader of a stored plan."""
        return cls(msgspec.convert(stored, Plan))

    def read(self, number: int, cells: list[str]) -> Row | RefusedRow:
        """The ``number``-th row, from 1; or why it gives no text."""
        contact = self._rows.read(number, cells)
        if isinstance(contact, RefusedRow):
            return contact
        for position, name in self._plan.mandatory:
            if position >= len(cells) or not cells[position].strip():
                error = ContactError("CAMP-007", f"The row has nothing in the column {name}.")
                return RefusedRow(number, contact.mobile, contact.country, "", "", error)
        found = {
            name: cells[position] for position, name in self._plan.cells if position < len(cells)
        }
        return Row(contact, found)
