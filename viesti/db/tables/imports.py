"""Tenant tables of contact files that are worked off in the background."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

imports = table(
    Kind.TENANT,
    "imports",
    "a contact file that is, or was, worked off in the background; kept as long as events",
    account_key(),
    uuid_column("id", primary_key=True),
    Column(
        "state",
        Text,
        nullable=False,
        comment="uploading (invisible), running, complete, failed, canceled",
    ),
    Column("strategy", Text, nullable=False, server_default="append"),
    Column("columns", JSONB, nullable=False, comment="the header as it was understood"),
    Column("default_country", Text, nullable=False, server_default=""),
    Column("octets", BigInteger, nullable=False, server_default="0"),
    Column("rows", Integer, nullable=False, server_default="0", comment="all, the header aside"),
    Column("chunks", Integer, nullable=False, server_default="0"),
    Column("chunks_done", Integer, nullable=False, server_default="0"),
    Column("rows_done", Integer, nullable=False, server_default="0"),
    Column("rows_failed", Integer, nullable=False, server_default="0"),
    Column("inserted", Integer, nullable=False, server_default="0", comment="contacts, not rows"),
    Column("updated", Integer, nullable=False, server_default="0", comment="contacts, not rows"),
    moment("created_at", nullable=False),
    moment("worked_at", nullable=False, comment="when a chunk was last stored or worked off"),
    moment("ended_at"),
    Index(
        "ix_imports_open",
        "account_id",
        "worked_at",
        postgresql_where=text("ended_at IS NULL"),
    ),
    postgresql_with={"fillfactor": "70"},
)

import_chunks = table(
    Kind.TENANT,
    "import_chunks",
    "rows of a file that wait; when done, the numbers that they named; gone with the import's end",
    account_key(),
    uuid_column("import_id", primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False, comment="from 0"),
    Column("first_row", Integer, nullable=False),
    Column("body", LargeBinary, comment="zlib of the rows as JSON; null: done"),
    Column("numbers", LargeBinary, comment="eight octets for each contact of a chunk that is done"),
)

import_errors = table(
    Kind.TENANT,
    "import_errors",
    "rows that were refused: the first thousand of a file; kept as long as the import",
    account_key(),
    uuid_column("import_id", primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("refused", JSONB, nullable=False, comment="the number as written, names, and why"),
)
