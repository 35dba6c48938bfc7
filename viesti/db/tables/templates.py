"""Tenant table of stored templates."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

templates = table(
    Kind.TENANT,
    "templates",
    "a text with fields that people and programs keep for use again",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("type", Text, nullable=False, server_default="SMS"),
    Column("media", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    CheckConstraint("type IN ('SMS', 'Web')", name="type"),
)
