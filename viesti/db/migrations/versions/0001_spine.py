"""The spine: every table of the first release. Each table's comment names its kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("default_country", sa.Text(), server_default="US", nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column(
            "support_contact",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="phone, e-mail or website that the HELP reply names",
        ),
        sa.Column("notice", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("notice_text", sa.Text(), nullable=True, comment="null: the default wording"),
        sa.Column("quiet_hours", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("smart_encoding", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("duplicate_guard", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("disabled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        comment="reference: a tenant and its settings; never its balance",
    )
    op.create_table(
        "api_credentials",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "secret_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="HMAC-SHA-256 under a platform key",
        ),
        sa.Column("profile", sa.Text(), server_default="published", nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "profile IN ('published', 'live')", name=op.f("ck_api_credentials_profile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_credentials")),
        comment="reference: an OAuth2 client of an account; its id is the client_id",
    )
    op.create_index(
        "ix_api_credentials_account_id", "api_credentials", ["account_id"], unique=False
    )
    op.create_table(
        "auth_failures",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("window_started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_auth_failures")),
        comment="local: failed logins by client address and by client id, for the brute-force limit",
    )
    op.create_table(
        "balances",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("available_micros", sa.BigInteger(), nullable=False),
        sa.Column("reserved_micros", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_balances")),
        comment="tenant: money that an account may still spend, and what is reserved for texts under way",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "binds",
        sa.Column("carrier_id", sa.UUID(), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.UUID(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "bound_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="null while not bound",
        ),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("carrier_id", "slot", name=op.f("pk_binds")),
        comment="local: one connection slot of a carrier account, leased by a dispatcher",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "carrier_state",
        sa.Column("carrier_id", sa.UUID(), nullable=False),
        sa.Column("learned_id_format", sa.Text(), nullable=True),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("carrier_id", name=op.f("pk_carrier_state")),
        comment="local: what the engine learned about a carrier",
    )
    op.create_table(
        "carriers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("window", sa.Integer(), server_default="100", nullable=False),
        sa.Column(
            "rate_per_s",
            sa.Float(),
            server_default="0",
            nullable=False,
            comment="segments; 0: unlimited",
        ),
        sa.Column("max_binds", sa.Integer(), server_default="1", nullable=False),
        sa.Column("id_format", sa.Text(), server_default="auto", nullable=False),
        sa.Column("receipts", sa.Text(), server_default="each", nullable=False),
        sa.Column("unknown_outcome", sa.Text(), server_default="hold", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "id_format IN ('auto', 'same', 'hex-dec', 'dec-hex')",
            name=op.f("ck_carriers_id_format"),
        ),
        sa.CheckConstraint("kind IN ('smpp')", name=op.f("ck_carriers_kind")),
        sa.CheckConstraint(
            "receipts IN ('each', 'first', 'last', 'none')", name=op.f("ck_carriers_receipts")
        ),
        sa.CheckConstraint(
            "unknown_outcome IN ('hold', 'resend')", name=op.f("ck_carriers_unknown_outcome")
        ),
        sa.CheckConstraint(
            '"window" > 0 AND rate_per_s >= 0 AND max_binds > 0', name=op.f("ck_carriers_limits")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carriers")),
        sa.UniqueConstraint("name", name=op.f("uq_carriers_name")),
        comment="local: a carrier account as an operator set it up; the engine never writes here",
    )
    op.create_table(
        "contacts",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False, comment="E.164 with plus"),
        sa.Column("country", sa.Text(), server_default="", nullable=False),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "tags", postgresql.ARRAY(Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        sa.Column("opted_in_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "noticed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when the first-message notice went out",
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "deleted_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="kept for the identifiers that the messages show",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_contacts")),
        comment="tenant: a person or phone that an account texts",
    )
    op.create_index("ix_contacts_tags", "contacts", ["tags"], unique=False, postgresql_using="gin")
    op.create_index(
        "uq_contacts_account_id_mobile",
        "contacts",
        ["account_id", "mobile"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "conversations",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("sender_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("last_message_id", sa.UUID(), nullable=True),
        sa.Column("unread", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "flagged_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="an inbound text read like an opt-out without being one",
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_conversations")),
        comment="tenant: the thread between one sender and one contact; at most one is open",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_conversations_contact_id", "conversations", ["account_id", "contact_id"], unique=False
    )
    op.create_index(
        "uq_conversations_open",
        "conversations",
        ["account_id", "sender_id", "contact_id"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "dispatch_queue",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("lane_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="0: replies, 1: bulk"),
        sa.Column("not_before", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("segments", sa.SmallInteger(), nullable=False),
        sa.Column(
            "started",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="bit n: segment n+1",
        ),
        sa.Column(
            "answered",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="bit n: segment n+1",
        ),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("consent_reply", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "claimed_by", sa.UUID(), nullable=True, comment="the dispatcher that started an attempt"
        ),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "message_id", name=op.f("pk_dispatch_queue")),
        comment="tenant: texts on their way to the wire; narrow, deleted from as outcomes are committed",
        postgresql_with={
            "fillfactor": "60",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "5000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index("ix_dispatch_queue_mobile", "dispatch_queue", ["mobile"], unique=False)
    op.create_index(
        "ix_dispatch_queue_order",
        "dispatch_queue",
        ["lane_id", "priority", "not_before", "message_id"],
        unique=False,
    )
    op.create_table(
        "events",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=True),
        sa.Column("conversation_id", sa.UUID(), nullable=True),
        sa.Column("message_id", sa.UUID(), nullable=True),
        sa.Column(
            "facts",
            postgresql.JSONB(astext_type=Text()),
            nullable=False,
            comment="what was true then: status, error, times",
        ),
        sa.Column(
            "payload",
            sa.Text(),
            nullable=True,
            comment="the body as first delivered, so that a retry says the same",
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_events")),
        comment="tenant: something that happened and that somebody subscribed to",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_table(
        "hidden_tags",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "tag", name=op.f("pk_hidden_tags")),
        comment="tenant: tags that an account does not show; any other is visible",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("credential_id", sa.UUID(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=Text()), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "credential_id", "operation", "key", name=op.f("pk_idempotency_keys")
        ),
        comment="tenant: what was answered to a request with an Idempotency-Key; kept 24 hours",
    )
    op.create_index(
        "ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "inbound_parts",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("sender_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("reference", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("total", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("data_coding", sa.SmallInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id",
            "sender_id",
            "mobile",
            "reference",
            "total",
            "part",
            name=op.f("pk_inbound_parts"),
        ),
        comment="tenant: parts of long inbound texts that are not complete yet",
    )
    op.create_index("ix_inbound_parts_received_at", "inbound_parts", ["received_at"], unique=False)
    op.create_table(
        "inbound_seen",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sender_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.UUID(), nullable=False, comment="the bind session it came on"),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "acknowledged_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="null: the acknowledgement is not known to have arrived",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_inbound_seen")),
        comment="tenant: inbound PDUs of the last minutes, to tell a redelivery from a second equal text",
    )
    op.create_index(
        "ix_inbound_seen_payload_hash",
        "inbound_seen",
        ["account_id", "sender_id", "mobile", "payload_hash"],
        unique=False,
    )
    op.create_index("ix_inbound_seen_received_at", "inbound_seen", ["received_at"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "media",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("requested", sa.Integer(), server_default="0", nullable=False),
        sa.Column("valid", sa.Integer(), server_default="0", nullable=False),
        sa.Column("invalid", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("price_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "first_message_id", sa.UUID(), nullable=True, comment="its messages lie from here"
        ),
        sa.Column("last_message_id", sa.UUID(), nullable=True, comment="to here"),
        sa.Column("credential_id", sa.UUID(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_jobs")),
        comment="tenant: one sending call or campaign run; holds once what all its messages share",
    )
    op.create_table(
        "lanes",
        sa.Column("sender_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("carrier_id", sa.UUID(), nullable=False),
        sa.Column(
            "active_until",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="texts may be waiting until then; kept ahead by who adds them",
        ),
        sa.Column("owner", sa.UUID(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("sender_id", name=op.f("pk_lanes")),
        comment="local: one sender on one carrier: what a dispatcher leases; its id is the sender's",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_lanes_carrier_id", "lanes", ["carrier_id"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="opening, top_up, sent, received"),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_ledger")),
        comment="tenant: every movement of money: the sum of an account's rows is available plus reserved",
    )
    op.create_table(
        "message_segments",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("carrier_id", sa.UUID(), nullable=False),
        sa.Column("carrier_message_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=True, comment="null: the receipt came first"),
        sa.Column("segment", sa.SmallInteger(), nullable=True),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("submitted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("receipt_state", sa.Text(), nullable=True),
        sa.Column("receipt_error", sa.Text(), nullable=True),
        sa.Column("receipt_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "carrier_id", "carrier_message_id", name=op.f("pk_message_segments")
        ),
        comment="tenant: a segment at the carrier, by the carrier's id; its answer and its receipt meet here",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_message_segments_early",
        "message_segments",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("message_id IS NULL"),
    )
    op.create_table(
        "messages",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column(
            "conversation_id", sa.UUID(), nullable=True, comment="null: no sender could be found"
        ),
        sa.Column("sender_id", sa.UUID(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("outgoing", sa.Boolean(), nullable=False),
        sa.Column(
            "kind", sa.Text(), server_default="text", nullable=False, comment="text, consent_reply"
        ),
        sa.Column("type", sa.Text(), server_default="SMS", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "message", sa.Text(), nullable=False, comment="merged, as it goes out or came in"
        ),
        sa.Column(
            "media", postgresql.JSONB(astext_type=Text()), nullable=True, comment="null: none"
        ),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("segments", sa.SmallInteger(), nullable=False),
        sa.Column("sent_segments", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("delivered_segments", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("receipt_missing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("send_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_messages")),
        comment="tenant: a text, out or in",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_messages_contact_id",
        "messages",
        ["contact_id", "id"],
        unique=False,
        postgresql_where=sa.text("conversation_id IS NULL"),
    )
    op.create_index(
        "ix_messages_conversation_id", "messages", ["conversation_id", "id"], unique=False
    )
    op.create_table(
        "opt_outs",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="keyword, person"),
        sa.Column("word", sa.Text(), server_default="", nullable=False),
        sa.Column("sender_id", sa.UUID(), nullable=True, comment="the sender that was told"),
        sa.PrimaryKeyConstraint("account_id", "mobile", name=op.f("pk_opt_outs")),
        comment="tenant: numbers that asked for no further texts; by number, so that no deletion or import undoes it",
    )
    op.create_table(
        "parked_messages",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("lane_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("segments", sa.SmallInteger(), nullable=False),
        sa.Column("started", sa.Integer(), server_default="0", nullable=False),
        sa.Column("answered", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("parked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "reason IN ('no_credit', 'unknown_outcome')", name=op.f("ck_parked_messages_reason")
        ),
        sa.PrimaryKeyConstraint("account_id", "message_id", name=op.f("pk_parked_messages")),
        comment="tenant: texts that wait for something outside the queue: credit, or word of an unknown outcome",
    )
    op.create_index(
        "ix_parked_messages_expires_at", "parked_messages", ["expires_at"], unique=False
    )
    op.create_index(
        "ix_parked_messages_mobile",
        "parked_messages",
        ["account_id", "reason", "mobile"],
        unique=False,
    )
    op.create_table(
        "platform",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_platform")),
        comment="local: facts about this installation, such as which account is the demo's",
    )
    op.create_table(
        "price_table",
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("outbound_micros", sa.BigInteger(), nullable=False),
        sa.Column("inbound_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("country", name=op.f("pk_price_table")),
        comment="reference: price of a segment by destination country; * stands for every other country",
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
        comment="local: heartbeat of each role process",
    )
    op.create_table(
        "recent_texts",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "mobile", "text_hash", name=op.f("pk_recent_texts")),
        comment="tenant: texts of the last 30 minutes, for the duplicate guard (MSG-024)",
    )
    op.create_index(
        "ix_recent_texts_sent_at",
        "recent_texts",
        ["sent_at"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_table(
        "senders",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("carrier_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), server_default="", nullable=False),
        sa.Column("type", sa.Text(), server_default="long_code", nullable=False),
        sa.Column(
            "rate_per_s",
            sa.Float(),
            server_default="0",
            nullable=False,
            comment="segments; 0: unlimited",
        ),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "type IN ('long_code', 'toll_free', 'short_code', 'alphanumeric')",
            name=op.f("ck_senders_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_senders")),
        sa.UniqueConstraint("carrier_id", "number", name=op.f("uq_senders_carrier_id_number")),
        comment="local: a number or name that texts leave from; leads receipts and inbound texts to the account",
    )
    op.create_index("ix_senders_account_id", "senders", ["account_id"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("private_key_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("retired_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
        comment="local: RSA keys that sign access tokens; the newest that is not retired signs",
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("webhook_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True, comment="null: no answer"),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "response",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the first octets of the body",
        ),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_webhook_attempts")),
        comment="tenant: one try to deliver an event: what the endpoint answered; kept 30 days",
    )
    op.create_index(
        "ix_webhook_attempts_webhook_id",
        "webhook_attempts",
        ["account_id", "webhook_id", "id"],
        unique=False,
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("webhook_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False, comment="due, dead"),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column(
            "not_before",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="pushed ahead by a claim: the claim's lease",
        ),
        sa.Column("claimed_by", sa.UUID(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_webhook_deliveries")),
        comment="tenant: an event on its way to an endpoint; deleted when taken, kept as dead when given up",
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.05",
            "autovacuum_vacuum_threshold": "2000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["account_id", "webhook_id", "not_before", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'due'"),
    )
    op.create_table(
        "webhooks",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(Text()), nullable=False),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("disabled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_webhooks")),
        comment="tenant: an endpoint that subscribed to events",
    )
    op.create_index("uq_webhooks_account_id_url", "webhooks", ["account_id", "url"], unique=True)
    for parent in ("messages", "events"):
        op.execute(f"CREATE TABLE {parent}_default PARTITION OF {parent} DEFAULT")
    op.execute(
        "INSERT INTO price_table (country, outbound_micros, inbound_micros) VALUES"
        " ('US', 32000, 0), ('CA', 32000, 0), ('GB', 56200, 0), ('*', 80000, 0)"
    )


def downgrade() -> None:
    raise NotImplementedError("The first schema has nothing before it: restore a backup instead.")
