"""Shared files, and the links by which they are found without knowing their account."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Text, text

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

files = table(
    Kind.TENANT,
    "files",
    "a file that was shared by a link; its octets lie in the object store under account/id",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("octets", BigInteger, nullable=False),
    moment("created_at", nullable=False),
    moment("expires_at", nullable=False),
    moment("stored_at", comment="null: the octets are not there"),
    moment("removed_at", comment="when the octets were taken away"),
    Index(
        "ix_files_expires_at",
        "account_id",
        "expires_at",
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index(
        "ix_files_lost",
        "account_id",
        "created_at",
        postgresql_where=text("stored_at IS NULL AND removed_at IS NULL"),
    ),
)

file_links = table(
    Kind.LOCAL,
    "file_links",
    "routing key of each shared file",
    Column("token", Text, primary_key=True),
    uuid_column("account_id"),
    uuid_column("file_id"),
    Index("ix_file_links_account_id", "account_id", "file_id"),
)
