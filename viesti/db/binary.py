"""Arrays and rows in PostgreSQL's binary format, built a column or a block at a time.

For the statements of a bulk send, whose ten thousand values psycopg would convert one by one in
Python. ``domain`` uses it; a handful of values is not worth it.

Sources: PostgreSQL documentation, "COPY", section "Binary Format"; ``array_recv`` for arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from struct import Struct
from typing import Final, LiteralString
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

NULL: Final = b"\xff\xff\xff\xff"

_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_TRAILER: Final = b"\xff\xff"
# Small enough to find room in a socket's buffer, so that sending it does not wait.
_ROWS_OF_A_BLOCK: Final = 256
_UUID_LENGTH: Final = b"\x00\x00\x00\x10"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_UUID, _TEXT, _BYTEA = 2950, 25, 17  # oids of the element types

_pack_length = Struct(">i").pack
_pack_head = Struct(">iiIii").pack  # dimensions, has nulls, element type, length, first index
_pack_int2 = Struct(">ih").pack
_pack_int8 = Struct(">iq").pack
# Packing a length takes longer than looking it up.
_LENGTHS: Final = tuple(_pack_length(length) for length in range(1024))


class UuidArray:
    """A parameter of type uuid[]."""

    __slots__ = ("data",)

    def __init__(self, ids: Sequence[UUID]) -> None:
        octets = [found.bytes for found in ids]
        body = _UUID_LENGTH + _UUID_LENGTH.join(octets) if octets else b""
        self.data = _head(len(octets), _UUID) + body


class TextArray:
    """A parameter of type text[]; None is NULL."""

    __slots__ = ("data",)

    def __init__(self, texts: Sequence[str | None]) -> None:
        self.data = _head(len(texts), _TEXT, has_null=None in texts) + b"".join(
            [text_field(text) for text in texts]
        )


class ByteaArray:
    """A parameter of type bytea[]."""

    __slots__ = ("data",)

    def __init__(self, values: Sequence[bytes]) -> None:
        self.data = _head(len(values), _BYTEA) + b"".join([_field(value) for value in values])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: UuidArray | TextArray | ByteaArray) -> Buffer:
        return obj.data


class _UuidArrayDumper(_ArrayDumper):
    oid = 2951


class _TextArrayDumper(_ArrayDumper):
    oid = 1009


class _ByteaArrayDumper(_ArrayDumper):
    oid = 1001


def register_arrays() -> None:
    """Let psycopg take the arrays above; connections that are open already will not."""
    psycopg.adapters.register_dumper(UuidArray, _UuidArrayDumper)
    psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
    psycopg.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)


def _head(count: int, element: int, *, has_null: bool = False) -> bytes:
    if not count:
        return bytes(8) + element.to_bytes(4)
    return _pack_head(1, has_null, element, count, 1)


def _field(octets: bytes) -> bytes:
    size = len(octets)
    return (_LENGTHS[size] if size < 1024 else _pack_length(size)) + octets


# Fields of COPY rows: each with its length before it.


def uuid_field(value: UUID | None) -> bytes:
    return NULL if value is None else _UUID_LENGTH + value.bytes


def text_field(text: str | None) -> bytes:
    if text is None:
        return NULL
    octets = text.encode()
    size = len(octets)
    return (_LENGTHS[size] if size < 1024 else _pack_length(size)) + octets


def bytea_field(value: bytes) -> bytes:
    return _field(value)


def bool_field(value: bool) -> bytes:
    return b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00"


def int2_field(value: int) -> bytes:
    return _pack_int2(2, value)


def int8_field(value: int) -> bytes:
    return _pack_int8(8, value)


def moment_field(moment: datetime | None) -> bytes:
    """timestamptz: microseconds since the year 2000."""
    return NULL if moment is None else _pack_int8(8, (moment - _EPOCH) // _MICROSECOND)


def json_field(encoded: bytes | None) -> bytes:
    """jsonb of what is JSON already; the octet before it is the format's version."""
    return NULL if encoded is None else _field(b"\x01" + encoded)


def text_array_field(texts: Sequence[str]) -> bytes:
    return _field(TextArray(texts).data)


def row_head(fields: int) -> bytes:
    """What a row of so many fields begins with."""
    return fields.to_bytes(2)


def copy_rows(
    conn: psycopg.Connection, table: LiteralString, columns: LiteralString, rows: Iterable[bytes]
) -> None:
    """COPY ``rows`` into ``columns`` of ``table``; each is its head and its fields in order.

    They go out in blocks: the server stores one while the rows of the next are put together, so
    ``rows`` is best an iterator.
    """
    with conn.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_COPY_HEADER)
        remaining = iter(rows)
        while block := b"".join(islice(remaining, _ROWS_OF_A_BLOCK)):
            copy.write(block)
        copy.write(_COPY_TRAILER)
