"""Local tables: carriers and what runs; found without knowing an account."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from viesti.db.tables._kinds import Kind, moment, table, uuid_column

carriers = table(
    Kind.LOCAL,
    "carriers",
    "a carrier account as an operator set it up; the engine never writes here",
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("secret_encrypted", LargeBinary, nullable=False),
    Column("window", Integer, nullable=False, server_default="100"),
    Column(
        "rate_per_s", Float, nullable=False, server_default="0", comment="segments; 0: unlimited"
    ),
    Column("max_binds", Integer, nullable=False, server_default="1"),
    Column("id_format", Text, nullable=False, server_default="auto"),
    Column("receipts", Text, nullable=False, server_default="each"),
    Column("unknown_outcome", Text, nullable=False, server_default="hold"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    UniqueConstraint("name"),
    CheckConstraint("kind IN ('smpp')", name="kind"),
    CheckConstraint("id_format IN ('auto', 'same', 'hex-dec', 'dec-hex')", name="id_format"),
    CheckConstraint("receipts IN ('each', 'first', 'last', 'none')", name="receipts"),
    CheckConstraint("unknown_outcome IN ('hold', 'resend')", name="unknown_outcome"),
    CheckConstraint('"window" > 0 AND rate_per_s >= 0 AND max_binds > 0', name="limits"),
)

carrier_state = table(
    Kind.LOCAL,
    "carrier_state",
    "what the engine learned about a carrier",
    uuid_column("carrier_id", primary_key=True),
    Column("learned_id_format", Text),
    moment("updated_at", nullable=False),
)

senders = table(
    Kind.LOCAL,
    "senders",
    "a number or name that texts leave from; leads receipts and inbound texts to the account",
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    uuid_column("carrier_id"),
    Column("number", Text, nullable=False),
    Column("country", Text, nullable=False, server_default=""),
    Column("type", Text, nullable=False, server_default="long_code"),
    Column(
        "rate_per_s", Float, nullable=False, server_default="0", comment="segments; 0: unlimited"
    ),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    uuid_column("group_id", nullable=True, comment="null: the account's default group"),
    moment("created_at", nullable=False),
    UniqueConstraint("carrier_id", "number"),
    Index("ix_senders_account_id", "account_id"),
    CheckConstraint(
        "type IN ('long_code', 'toll_free', 'short_code', 'alphanumeric')", name="type"
    ),
)

lanes = table(
    Kind.LOCAL,
    "lanes",
    "one sender on one carrier: what a dispatcher leases; its id is the sender's",
    uuid_column("sender_id", primary_key=True),
    uuid_column("account_id"),
    uuid_column("carrier_id"),
    moment("active_until", comment="texts may be waiting until then; kept ahead by who adds them"),
    uuid_column("owner", nullable=True),
    moment("lease_until"),
    Index("ix_lanes_carrier_id", "carrier_id"),
    postgresql_with={"fillfactor": "50"},
)

binds = table(
    Kind.LOCAL,
    "binds",
    "one connection slot of a carrier account, leased by a dispatcher",
    uuid_column("carrier_id", primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    uuid_column("owner", nullable=True),
    moment("lease_until"),
    moment("bound_at", comment="null while not bound"),
    Column("last_error", Text, nullable=False, server_default=""),
    postgresql_with={"fillfactor": "50"},
)

processes = table(
    Kind.LOCAL,
    "processes",
    "heartbeat of each role process",
    uuid_column("id", primary_key=True),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    moment("started_at", nullable=False),
    moment("seen_at", nullable=False),
)

signing_keys = table(
    Kind.LOCAL,
    "signing_keys",
    "RSA keys that sign access tokens; the newest that is not retired signs",
    Column("kid", Text, primary_key=True),
    Column("private_key_encrypted", LargeBinary, nullable=False),
    Column("public_jwk", JSONB, nullable=False),
    moment("created_at", nullable=False),
    moment("retired_at"),
)

auth_failures = table(
    Kind.LOCAL,
    "auth_failures",
    "failed logins by client address and by client id, for the brute-force limit",
    Column("subject", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    moment("window_started_at", nullable=False),
)

rate_buckets = table(
    Kind.LOCAL,
    "rate_buckets",
    "requests that each API client may still make at once, by what is asked for",
    Column("key", Text, primary_key=True),
    Column("tokens", Float(53), nullable=False),
    moment("filled_at", nullable=False, comment="when tokens was right; it grows from there"),
    postgresql_with={"fillfactor": "50"},
)

platform = table(
    Kind.LOCAL,
    "platform",
    "facts about this installation, such as which account is the demo's",
    Column("key", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
)
