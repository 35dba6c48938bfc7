"""Campaigns, their runs, and the rows of uploaded files that wait to become texts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("template", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "media",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "trigger", sa.Text(), nullable=False, comment="M manual, S scheduled, FU file upload"
        ),
        sa.Column(
            "filters",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "group_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="whose senders; empty: any",
        ),
        sa.Column(
            "frequency",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="OD, D, W, M or empty",
        ),
        sa.Column(
            "time_zone",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="empty: the account's",
        ),
        sa.Column("cron", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "starts_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="the first time of a schedule without cron",
        ),
        sa.Column(
            "next_run_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="null: nothing is due",
        ),
        sa.Column(
            "paused_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="null: not paused",
        ),
        sa.Column(
            "field_mappings",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "reporting",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("credential_id", sa.UUID(), nullable=True, comment="who made it"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "deleted_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="kept until its runs are wound up",
        ),
        sa.CheckConstraint(
            "frequency IN ('', 'OD', 'D', 'W', 'M')", name=op.f("ck_campaigns_frequency")
        ),
        sa.CheckConstraint("trigger IN ('M', 'S', 'FU')", name=op.f("ck_campaigns_trigger")),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_campaigns")),
        comment="tenant: a text with its recipients and its schedule; sends nothing by itself, its runs do",
    )
    op.create_index(
        "ix_campaigns_next_run_at",
        "campaigns",
        ["next_run_at"],
        unique=False,
        postgresql_where=sa.text("next_run_at IS NOT NULL AND paused_at IS NULL"),
    )
    op.create_table(
        "campaign_runs",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("campaign_id", sa.UUID(), nullable=False),
        sa.Column(
            "due_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="one run for each moment, whoever starts it",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "missed",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="times that passed by",
        ),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True, comment="why it could not start"),
        sa.Column("requested", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="texts by status, when last counted",
        ),
        sa.Column("price_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "invalid",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="the first rows of a file that gave no text",
        ),
        sa.Column(
            "file",
            postgresql.JSONB(astext_type=Text()),
            nullable=True,
            comment="how the rows of its file are read; null: it has no file",
        ),
        sa.Column("counted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "look_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when the work role looks at it next; null: it is settled",
        ),
        sa.Column("report_state", sa.Text(), server_default="", nullable=False),
        sa.Column("report_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "report_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when its report goes out, or is tried again",
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "report_state IN ('', 'due', 'sent', 'failed')",
            name=op.f("ck_campaign_runs_report_state"),
        ),
        sa.CheckConstraint(
            "state IN ('reading', 'running', 'complete', 'canceled', 'failed', 'missed')",
            name=op.f("ck_campaign_runs_state"),
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_campaign_runs")),
        comment="tenant: one time that a campaign ran or should have; its texts are those of its job",
    )
    op.create_index(
        "ix_campaign_runs_active",
        "campaign_runs",
        ["account_id", "campaign_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('reading', 'running')"),
    )
    op.create_index(
        "ix_campaign_runs_reading",
        "campaign_runs",
        ["look_at"],
        unique=False,
        postgresql_where=sa.text("state = 'reading'"),
    )
    op.create_index(
        "ix_campaign_runs_look_at",
        "campaign_runs",
        ["look_at"],
        unique=False,
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_index(
        "ix_campaign_runs_report_at",
        "campaign_runs",
        ["report_at"],
        unique=False,
        postgresql_where=sa.text("report_at IS NOT NULL"),
    )
    op.create_index(
        "uq_campaign_runs_account_id_campaign_id_due_at",
        "campaign_runs",
        ["account_id", "campaign_id", "due_at"],
        unique=True,
    )
    op.create_table(
        "campaign_rows",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("run_id", sa.UUID(), nullable=False),
        sa.Column("chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "run_id", "chunk", name=op.f("pk_campaign_rows")),
        comment="tenant: rows of an uploaded file that have not become texts yet; a chunk goes as it is taken",
    )


def downgrade() -> None:
    raise NotImplementedError("Campaigns would be lost: restore a backup instead.")
