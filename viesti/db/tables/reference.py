"""Reference tables: small, read by everybody, written rarely; no counters or heartbeats."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, LargeBinary, Text, text

from viesti.db.tables._kinds import Kind, moment, table, uuid_column

accounts = table(
    Kind.REFERENCE,
    "accounts",
    "a tenant and its settings; never its balance",
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("default_country", Text, nullable=False, server_default="US"),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    Column(
        "support_contact",
        Text,
        nullable=False,
        server_default="",
        comment="phone, e-mail or website that the HELP reply names",
    ),
    Column("notice", Boolean, nullable=False, server_default=text("false")),
    Column("notice_text", Text, comment="null: the default wording"),
    Column("quiet_hours", Boolean, nullable=False, server_default=text("false")),
    Column("smart_encoding", Boolean, nullable=False, server_default=text("false")),
    Column("duplicate_guard", Boolean, nullable=False, server_default=text("true")),
    moment("created_at", nullable=False),
    moment("disabled_at"),
)

api_credentials = table(
    Kind.REFERENCE,
    "api_credentials",
    "an OAuth2 client of an account; its id is the client_id",
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("name", Text, nullable=False, server_default=""),
    Column("secret_hash", LargeBinary, nullable=False, comment="HMAC-SHA-256 under a platform key"),
    Column("profile", Text, nullable=False, server_default="published"),
    moment("created_at", nullable=False),
    moment("revoked_at"),
    CheckConstraint("profile IN ('published', 'live')", name="profile"),
    Index("ix_api_credentials_account_id", "account_id"),
)

price_table = table(
    Kind.REFERENCE,
    "price_table",
    "price of a segment by destination country; * stands for every other country",
    Column("country", Text, primary_key=True),
    Column("outbound_micros", BigInteger, nullable=False),
    Column("inbound_micros", BigInteger, nullable=False),
)
