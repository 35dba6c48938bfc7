"""Text to records of cells, whatever comma-separated dialect the file is in; pure.

Called by ``sheet``. Separators are ``,`` ``;`` and tab, line ends CRLF, LF and CR; quoted cells
may hold all of them. Python's csv module does the splitting.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import chain

from viesti.domain.imports.charset import UNREADABLE
from viesti.kit.errors import Invalid

# A record is held in memory whole. Our own bound: 30 times what a contact may have.
MAX_RECORD_CHARS = 1024 * 1024
MAX_HEADER_CHARS = 128 * 1024

_SEPARATORS = (",", ";", "\t")
# Excel's own line, which names the separator before the header.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_NOTHING = " ,;\t\r\n"
# Follows the last line: a cell that swallows it was never closed.
_END = "\0end of file"

Record = list[str]


def read_records(
    pieces: Iterator[str], is_header: Callable[[Record], bool]
) -> tuple[Record, Iterator[Record]]:
    """The first record that holds anything, and an iterator over those after it.

    ``is_header`` says whether a record looks like the header that is wanted; it settles which
    separator the file uses where several are possible. Records without any cell that holds
    something are left out. Raises Invalid (IMP-001), also while iterating.
    """
    lines = _lines(pieces)
    header = _header_lines(lines)
    named = _SEPARATOR_LINE.fullmatch(header[0]) if len(header) == 1 else None
    if named is not None:
        header = _header_lines(lines)
    separator = named[1] if named is not None else _choose_separator(header, is_header)
    records = _split(chain(header, lines), separator)
    first = next(records, None)
    if first is None:
        raise Invalid("The file is empty.", UNREADABLE)
    return first, records


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    """Lines with their ends; the last one has one, too."""
    rest = ""
    for piece in filter(None, pieces):
        # The only splitter in C that knows CR, LF and CRLF, and none of Unicode's line ends.
        found = io.StringIO(rest + piece, newline="").readlines()
        # A CR may be the first half of a CRLF.
        rest = "" if found[-1].endswith("\n") else found.pop()
        if len(rest) > MAX_RECORD_CHARS:
            raise _too_long()
        yield from found
    if rest:
        yield rest if rest.endswith("\r") else rest + "\n"


def _header_lines(lines: Iterator[str]) -> list[str]:
    """The lines of the first record: more than one where a quoted name has a line end."""
    header: list[str] = []
    quotes = chars = 0
    for line in lines:
        if not header and not line.strip(_NOTHING):
            continue
        header.append(line)
        quotes += line.count('"')
        chars += len(line)
        if quotes % 2 == 0:
            break
        if chars > MAX_HEADER_CHARS:
            raise Invalid("A quote in the header is never closed.", UNREADABLE)
    if not header:
        raise Invalid("The file is empty.", UNREADABLE)
    return header


def _choose_separator(header: list[str], is_header: Callable[[Record], bool]) -> str:
    best, best_rank = _SEPARATORS[0], (False, 0)
    for separator in _SEPARATORS:
        try:
            record = next(csv.reader(header, delimiter=separator), Record())
        except csv.Error:
            continue
        rank = (is_header(record), len(record))
        if rank > best_rank:
            best, best_rank = separator, rank
    return best


def _split(lines: Iterator[str], separator: str) -> Iterator[Record]:
    chars = 0

    def measured() -> Iterator[str]:
        nonlocal chars
        for line in lines:
            chars += len(line)
            if chars > MAX_RECORD_CHARS:
                raise _too_long()
            yield line
        yield _END

    count = 0
    try:
        for record in csv.reader(measured(), delimiter=separator):
            chars = 0
            if not any(record):
                continue
            if record[-1].endswith(_END):
                if record != [_END]:
                    raise Invalid(
                        f"The quote that opens in row {count} is never closed.", UNREADABLE
                    )
                return
            count += 1
            yield record
    except csv.Error as error:
        raise Invalid(
            f"Row {count} cannot be read as CSV: {error}. A quote may be missing.", UNREADABLE
        ) from error


def _too_long() -> Invalid:
    return Invalid(
        f"A row is longer than {MAX_RECORD_CHARS} characters; a quote may be missing, or the"
        " file is no CSV.",
        UNREADABLE,
    )
