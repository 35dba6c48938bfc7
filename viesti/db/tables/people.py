"""Reference tables of those who work with texts: users, their roles, and groups."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from viesti.db.tables._kinds import Kind, moment, table, uuid_column

users = table(
    Kind.REFERENCE,
    "users",
    "a person who works with texts, in any number of accounts",
    uuid_column("id", primary_key=True),
    Column("email", Text, nullable=False, comment="lower case"),
    Column("first_name", Text, nullable=False, server_default=""),
    Column("last_name", Text, nullable=False, server_default=""),
    Column("mobile", Text, comment="E.164 with plus"),
    Column("mobile_country", Text, nullable=False, server_default=""),
    moment("terms_accepted_at"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    Index("uq_users_email", "email", unique=True),
)

memberships = table(
    Kind.REFERENCE,
    "memberships",
    "that a user belongs to an account, and as what",
    uuid_column("account_id", primary_key=True),
    uuid_column("user_id", primary_key=True),
    Column("role", Text, nullable=False),
    moment("created_at", nullable=False),
    CheckConstraint(
        "role IN ('administrator', 'campaign_manager', 'sender', 'read_only')", name="role"
    ),
    Index("ix_memberships_user_id", "user_id"),
)

groups = table(
    Kind.REFERENCE,
    "groups",
    "an inbox of an account: its senders and who reads it; the default one's id is the account's",
    uuid_column("account_id", primary_key=True),
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("use_shared_pool", Boolean, nullable=False, server_default=text("false")),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    Index("uq_groups_account_id_name", "account_id", "name", unique=True),
    Index("uq_groups_default", "account_id", unique=True, postgresql_where=text("is_default")),
)

group_users = table(
    Kind.REFERENCE,
    "group_users",
    "who reads and answers the conversations of a group",
    uuid_column("account_id", primary_key=True),
    uuid_column("group_id", primary_key=True),
    uuid_column("user_id", primary_key=True),
    moment("joined_at", nullable=False),
)
