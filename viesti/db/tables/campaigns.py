"""Tenant tables of campaigns: what to send to whom and when, and each time it ran."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

campaigns = table(
    Kind.TENANT,
    "campaigns",
    "a text with its recipients and its schedule; sends nothing by itself, its runs do",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("template", Text, nullable=False, server_default=""),
    Column("media", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("trigger", Text, nullable=False, comment="M manual, S scheduled, FU file upload"),
    Column("filters", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column(
        "group_id", Text, nullable=False, server_default="", comment="whose senders; empty: any"
    ),
    Column("frequency", Text, nullable=False, server_default="", comment="OD, D, W, M or empty"),
    Column("time_zone", Text, nullable=False, server_default="", comment="empty: the account's"),
    Column("cron", Text, nullable=False, server_default=""),
    moment("starts_at", comment="the first time of a schedule without cron"),
    moment("next_run_at", comment="null: nothing is due"),
    moment("paused_at", comment="null: not paused"),
    Column("field_mappings", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("reporting", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    uuid_column("credential_id", nullable=True, comment="who made it"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    moment("deleted_at", comment="kept until its runs are wound up"),
    CheckConstraint("trigger IN ('M', 'S', 'FU')", name="trigger"),
    CheckConstraint("frequency IN ('', 'OD', 'D', 'W', 'M')", name="frequency"),
    Index(
        "ix_campaigns_next_run_at",
        "next_run_at",
        postgresql_where=text("next_run_at IS NOT NULL AND paused_at IS NULL"),
    ),
)

campaign_runs = table(
    Kind.TENANT,
    "campaign_runs",
    "one time that a campaign ran or should have; its texts are those of its job",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("campaign_id"),
    moment("due_at", nullable=False, comment="one run for each moment, whoever starts it"),
    Column("state", Text, nullable=False),
    Column("missed", Integer, nullable=False, server_default="0", comment="times that passed by"),
    uuid_column("job_id", nullable=True),
    Column("error_code", Text, comment="why it could not start"),
    Column("requested", Integer, nullable=False, server_default="0"),
    Column(
        "counts",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="texts by status, when last counted",
    ),
    Column("price_micros", BigInteger, nullable=False, server_default="0"),
    Column(
        "invalid",
        JSONB,
        nullable=False,
        server_default=text("'[]'::jsonb"),
        comment="the first rows of a file that gave no text",
    ),
    Column("file", JSONB, comment="how the rows of its file are read; null: it has no file"),
    moment("counted_at"),
    moment("look_at", comment="when the work role looks at it next; null: it is settled"),
    Column("report_state", Text, nullable=False, server_default=""),
    Column("report_attempts", Integer, nullable=False, server_default="0"),
    moment("report_at", comment="when its report goes out, or is tried again"),
    moment("created_at", nullable=False),
    moment("ended_at"),
    CheckConstraint(
        "state IN ('reading', 'running', 'complete', 'canceled', 'failed', 'missed')",
        name="state",
    ),
    CheckConstraint("report_state IN ('', 'due', 'sent', 'failed')", name="report_state"),
    Index(
        "uq_campaign_runs_account_id_campaign_id_due_at",
        "account_id",
        "campaign_id",
        "due_at",
        unique=True,
    ),
    # Few at any time, while settled runs are kept for a year.
    Index(
        "ix_campaign_runs_active",
        "account_id",
        "campaign_id",
        postgresql_where=text("state IN ('reading', 'running')"),
    ),
    Index("ix_campaign_runs_reading", "look_at", postgresql_where=text("state = 'reading'")),
    Index("ix_campaign_runs_look_at", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    Index(
        "ix_campaign_runs_report_at", "report_at", postgresql_where=text("report_at IS NOT NULL")
    ),
)

campaign_rows = table(
    Kind.TENANT,
    "campaign_rows",
    "rows of an uploaded file that have not become texts yet; a chunk goes as it is taken",
    account_key(),
    uuid_column("run_id", primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("rows", JSONB, nullable=False),
)
