"""Tenant tables of texts: messages, their segments at the carrier, and what waits."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

jobs = table(
    Kind.TENANT,
    "jobs",
    "one sending call or campaign run; holds once what all its messages share",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("template", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("media", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("requested", Integer, nullable=False, server_default="0"),
    Column("valid", Integer, nullable=False, server_default="0"),
    Column("invalid", Integer, nullable=False, server_default="0"),
    Column("queued", Integer, nullable=False, server_default="0"),
    Column("price_micros", BigInteger, nullable=False, server_default="0"),
    uuid_column("first_message_id", nullable=True, comment="its messages lie from here"),
    uuid_column("last_message_id", nullable=True, comment="to here"),
    uuid_column("credential_id", nullable=True),
    moment("created_at", nullable=False),
    Column("strategy", Text, nullable=False, server_default="reuse"),
    Column("group_id", Text, comment="whose senders; null: the account's"),
    Column("quiet_hours", Boolean, comment="null: as the account has settled"),
    Column("filters", JSONB, comment="null: every recipient was named"),
    uuid_column("campaign_run_id", nullable=True),
    Column(
        "state",
        Text,
        nullable=False,
        server_default="open",
        comment="open, pausing, paused, resuming, canceling, canceled",
    ),
    moment("due_at", comment="when its contacts are read, or its texts may leave"),
    Column(
        "expanded",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="every contact that the filters match has its text",
    ),
    uuid_column("contact_cursor", nullable=True, comment="contacts up to here have their texts"),
    uuid_column("contact_bound", nullable=True, comment="contacts made after it are not meant"),
    uuid_column("named_until", nullable=True, comment="texts to whom the call named end here"),
    uuid_column("swept_until", nullable=True, comment="texts up to here are paused or the like"),
    CheckConstraint(
        "state IN ('open', 'pausing', 'paused', 'resuming', 'canceling', 'canceled')",
        name="state",
    ),
    # Exactly the jobs that have work to do, which is hardly ever one.
    Index(
        "ix_jobs_at_work",
        "due_at",
        postgresql_where=text(
            "(state = 'open' AND NOT expanded) OR state IN ('pausing', 'resuming', 'canceling')"
        ),
    ),
)

# Only the primary key leads with the account: beside it, an index that began with the account
# too would look as good to a planner without statistics, and make it read the whole account.
# Whatever changes on every text (status, counters, times) stands in no index and no index
# predicate, so that each change is a heap-only update.
messages = table(
    Kind.TENANT,
    "messages",
    "a text, out or in",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("job_id", nullable=True),
    uuid_column("contact_id"),
    uuid_column("conversation_id", nullable=True, comment="null: no sender could be found"),
    uuid_column("sender_id", nullable=True),
    Column("sender", Text, nullable=False),
    Column("mobile", Text, nullable=False),
    Column("outgoing", Boolean, nullable=False),
    Column("kind", Text, nullable=False, server_default="text", comment="text, consent_reply"),
    Column("type", Text, nullable=False, server_default="SMS"),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False, comment="merged, as it goes out or came in"),
    Column("media", JSONB, comment="null: none"),
    Column("encoding", Text, nullable=False),
    Column("segments", SmallInteger, nullable=False),
    Column("sent_segments", SmallInteger, nullable=False, server_default="0"),
    Column("delivered_segments", SmallInteger, nullable=False, server_default="0"),
    Column("price_micros", BigInteger, nullable=False),
    Column("error_code", Text),
    Column("receipt_missing", Boolean, nullable=False, server_default=text("false")),
    moment("send_at"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    Index("ix_messages_conversation_id", "conversation_id", "id"),
    Index(
        "ix_messages_contact_id",
        "contact_id",
        "id",
        postgresql_where=text("conversation_id IS NULL"),
    ),
    postgresql_partition_by="RANGE (id)",
)

message_segments = table(
    Kind.TENANT,
    "message_segments",
    "a segment at the carrier, by the carrier's id; its answer and its receipt meet here",
    account_key(),
    uuid_column("carrier_id", primary_key=True),
    Column("carrier_message_id", Text, primary_key=True),
    uuid_column("message_id", nullable=True, comment="null: the receipt came first"),
    Column("segment", SmallInteger),
    Column("mobile", Text, nullable=False),
    moment("submitted_at"),
    Column("receipt_state", Text),
    Column("receipt_error", Text),
    moment("receipt_at"),
    moment("created_at", nullable=False),
    Index("ix_message_segments_early", "created_at", postgresql_where=text("message_id IS NULL")),
    # Its receipt must fit beside each answer of a page, as one batch brings them.
    postgresql_with={"fillfactor": "45"},
)

dispatch_queue = table(
    Kind.TENANT,
    "dispatch_queue",
    "texts on their way to the wire; narrow, deleted from as outcomes are committed",
    account_key(),
    uuid_column("message_id", primary_key=True),
    uuid_column("lane_id"),
    Column("mobile", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, comment="0: replies, 1: bulk"),
    moment("not_before", nullable=False),
    Column("segments", SmallInteger, nullable=False),
    Column("started", Integer, nullable=False, server_default="0", comment="bit n: segment n+1"),
    Column("answered", Integer, nullable=False, server_default="0", comment="bit n: segment n+1"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("consent_reply", Boolean, nullable=False, server_default=text("false")),
    uuid_column("claimed_by", nullable=True, comment="the dispatcher that started an attempt"),
    moment("started_at"),
    Index("ix_dispatch_queue_order", "lane_id", "priority", "not_before", "message_id"),
    Index("ix_dispatch_queue_mobile", "mobile"),
    postgresql_with={
        # One turn starts all rows of a page at once.
        "fillfactor": "45",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "5000",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

parked_messages = table(
    Kind.TENANT,
    "parked_messages",
    "texts that wait outside the queue: for credit, word of an unknown outcome, or a resumed job",
    account_key(),
    uuid_column("message_id", primary_key=True),
    Column("reason", Text, nullable=False),
    uuid_column("lane_id"),
    Column("mobile", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("segments", SmallInteger, nullable=False),
    Column("started", Integer, nullable=False, server_default="0"),
    Column("answered", Integer, nullable=False, server_default="0"),
    moment("started_at"),
    moment("parked_at", nullable=False),
    moment("expires_at", nullable=False),
    CheckConstraint("reason IN ('no_credit', 'unknown_outcome', 'paused')", name="reason"),
    Index("ix_parked_messages_mobile", "account_id", "reason", "mobile"),
    Index("ix_parked_messages_expires_at", "expires_at"),
)

recent_texts = table(
    Kind.TENANT,
    "recent_texts",
    "texts of the last 30 minutes, for the duplicate guard (MSG-024)",
    account_key(),
    Column("mobile", Text, primary_key=True),
    Column("text_hash", LargeBinary, primary_key=True),
    moment("sent_at", nullable=False),
    Index("ix_recent_texts_sent_at", "sent_at", postgresql_using="brin"),
)

inbound_parts = table(
    Kind.TENANT,
    "inbound_parts",
    "parts of long inbound texts that are not complete yet",
    account_key(),
    uuid_column("sender_id", primary_key=True),
    Column("mobile", Text, primary_key=True),
    Column("reference", Integer, primary_key=True, autoincrement=False),
    Column("total", SmallInteger, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False),
    Column("data_coding", SmallInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    moment("received_at", nullable=False),
    Index("ix_inbound_parts_received_at", "received_at"),
)

inbound_seen = table(
    Kind.TENANT,
    "inbound_seen",
    "inbound PDUs of the last minutes, to tell a redelivery from a second equal text",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("sender_id"),
    Column("mobile", Text, nullable=False),
    Column("payload_hash", LargeBinary, nullable=False),
    uuid_column("session_id", comment="the bind session it came on"),
    moment("received_at", nullable=False),
    moment("acknowledged_at", comment="null: the acknowledgement is not known to have arrived"),
    Index("ix_inbound_seen_payload_hash", "account_id", "sender_id", "mobile", "payload_hash"),
    Index("ix_inbound_seen_received_at", "received_at"),
)
