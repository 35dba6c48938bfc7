"""Tenant tables of events and of the webhooks that hear of them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

events = table(
    Kind.TENANT,
    "events",
    "something that happened and that somebody subscribed to",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("type", Text, nullable=False),
    uuid_column("contact_id", nullable=True),
    uuid_column("conversation_id", nullable=True),
    uuid_column("message_id", nullable=True),
    Column("facts", JSONB, nullable=False, comment="what was true then: status, error, times"),
    Column("payload", Text, comment="the body as first delivered, so that a retry says the same"),
    moment("created_at", nullable=False),
    postgresql_partition_by="RANGE (id)",
)

webhooks = table(
    Kind.TENANT,
    "webhooks",
    "an endpoint that subscribed to events",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False),
    Column("secret_encrypted", LargeBinary, nullable=False),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    moment("disabled_at"),
    Column("disabled_reason", Text),
    Index("uq_webhooks_account_id_url", "account_id", "url", unique=True),
)

webhook_deliveries = table(
    Kind.TENANT,
    "webhook_deliveries",
    "an event on its way to an endpoint; deleted when taken, kept as dead when given up",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("webhook_id"),
    uuid_column("event_id"),
    Column("state", Text, nullable=False, server_default="due", comment="due, dead"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    moment("not_before", nullable=False, comment="pushed ahead by a claim: the claim's lease"),
    uuid_column("claimed_by", nullable=True),
    moment("created_at", nullable=False),
    Index(
        "ix_webhook_deliveries_due",
        "account_id",
        "webhook_id",
        "not_before",
        "id",
        postgresql_where=text("state = 'due'"),
    ),
    postgresql_with={
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_vacuum_threshold": "2000",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

webhook_attempts = table(
    Kind.TENANT,
    "webhook_attempts",
    "one try to deliver an event: what the endpoint answered; kept 30 days",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("webhook_id"),
    uuid_column("event_id"),
    Column("attempt", SmallInteger, nullable=False),
    Column("status_code", Integer, comment="null: no answer"),
    Column("error", Text, nullable=False, server_default=""),
    Column(
        "response", Text, nullable=False, server_default="", comment="the first octets of the body"
    ),
    Column("duration_ms", Integer, nullable=False),
    moment("at", nullable=False),
    Index("ix_webhook_attempts_webhook_id", "account_id", "webhook_id", "id"),
)
