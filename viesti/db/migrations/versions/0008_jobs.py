"""Jobs that expand a filter in chunks, wait for their time, and can be paused and canceled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("strategy", sa.Text(), server_default="reuse", nullable=False))
    op.add_column(
        "jobs",
        sa.Column(
            "group_id", sa.Text(), nullable=True, comment="whose senders; null: the account's"
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "quiet_hours",
            sa.Boolean(),
            nullable=True,
            comment="null: as the account has settled",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "filters",
            postgresql.JSONB(astext_type=Text()),
            nullable=True,
            comment="null: every recipient was named",
        ),
    )
    op.add_column("jobs", sa.Column("campaign_run_id", sa.UUID(), nullable=True))
    op.add_column(
        "jobs",
        sa.Column(
            "state",
            sa.Text(),
            server_default="open",
            nullable=False,
            comment="open, pausing, paused, resuming, canceling, canceled",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "due_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when its contacts are read, or its texts may leave",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "expanded",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="every contact that the filters match has its text",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "contact_cursor",
            sa.UUID(),
            nullable=True,
            comment="contacts up to here have their texts",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "contact_bound",
            sa.UUID(),
            nullable=True,
            comment="contacts made after it are not meant",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "named_until",
            sa.UUID(),
            nullable=True,
            comment="texts to whom the call named end here",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "swept_until",
            sa.UUID(),
            nullable=True,
            comment="texts up to here are paused or the like",
        ),
    )
    op.create_check_constraint(
        op.f("ck_jobs_state"),
        "jobs",
        "state IN ('open', 'pausing', 'paused', 'resuming', 'canceling', 'canceled')",
    )
    op.create_index(
        "ix_jobs_at_work",
        "jobs",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text(
            "(state = 'open' AND NOT expanded) OR state IN ('pausing', 'resuming', 'canceling')"
        ),
    )
    op.drop_constraint(op.f("ck_parked_messages_reason"), "parked_messages", type_="check")
    op.create_check_constraint(
        op.f("ck_parked_messages_reason"),
        "parked_messages",
        "reason IN ('no_credit', 'unknown_outcome', 'paused')",
    )
    op.create_table_comment(
        "parked_messages",
        "tenant: texts that wait outside the queue: for credit, word of an unknown outcome, or a"
        " resumed job",
    )


def downgrade() -> None:
    raise NotImplementedError("Jobs may be half expanded: restore a backup instead.")
