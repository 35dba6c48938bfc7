"""Tenant tables of money and of requests that must not be carried out twice."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

balances = table(
    Kind.TENANT,
    "balances",
    "money that an account may still spend, and what is reserved for texts under way",
    account_key(),
    Column("available_micros", BigInteger, nullable=False),
    Column("reserved_micros", BigInteger, nullable=False),
    moment("updated_at", nullable=False),
    postgresql_with={"fillfactor": "50"},
)

ledger = table(
    Kind.TENANT,
    "ledger",
    "every movement of money: the sum of an account's rows is available plus reserved",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("kind", Text, nullable=False, comment="opening, top_up, sent, received"),
    Column("amount_micros", BigInteger, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    moment("created_at", nullable=False),
)

idempotency_keys = table(
    Kind.TENANT,
    "idempotency_keys",
    "what was answered to a request with an Idempotency-Key; kept 24 hours",
    account_key(),
    uuid_column("credential_id", primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("answer", JSONB),
    moment("created_at", nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
)
