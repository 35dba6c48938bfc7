"""Tenant tables of people: contacts, tags, opt-outs, conversations."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

contacts = table(
    Kind.TENANT,
    "contacts",
    "a person or phone that an account texts",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("mobile", Text, nullable=False, comment="E.164 with plus"),
    Column("country", Text, nullable=False, server_default=""),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("email", Text),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    moment("opted_in_at"),
    moment("noticed_at", comment="when the first-message notice went out"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    moment("deleted_at", comment="kept for the identifiers that the messages show"),
    Index(
        "uq_contacts_account_id_mobile",
        "account_id",
        "mobile",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("ix_contacts_tags", "tags", postgresql_using="gin"),
)

hidden_tags = table(
    Kind.TENANT,
    "hidden_tags",
    "tags that an account does not show; any other is visible",
    account_key(),
    Column("tag", Text, primary_key=True),
)

opt_outs = table(
    Kind.TENANT,
    "opt_outs",
    "numbers that asked for no further texts; by number, so that no deletion or import undoes it",
    account_key(),
    Column("mobile", Text, primary_key=True),
    moment("at", nullable=False),
    Column("source", Text, nullable=False, comment="keyword, person"),
    Column("word", Text, nullable=False, server_default=""),
    uuid_column("sender_id", nullable=True, comment="the sender that was told"),
)

conversations = table(
    Kind.TENANT,
    "conversations",
    "the thread between one sender and one contact; at most one is open",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("contact_id"),
    uuid_column("sender_id"),
    Column("mobile", Text, nullable=False),
    Column("sender", Text, nullable=False),
    uuid_column("last_message_id", nullable=True),
    Column("unread", Boolean, nullable=False, server_default=text("false")),
    moment("flagged_at", comment="an inbound text read like an opt-out without being one"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    moment("closed_at"),
    Index(
        "uq_conversations_open",
        "account_id",
        "sender_id",
        "contact_id",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index("ix_conversations_contact_id", "account_id", "contact_id"),
    postgresql_with={"fillfactor": "80"},
)
