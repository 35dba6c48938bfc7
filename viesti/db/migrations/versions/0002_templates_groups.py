"""Templates, users and groups; which users have read a conversation.

Every account gets its default group, whose id is the account's: clients know it by that id.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="lower case"),
        sa.Column("first_name", sa.Text(), server_default="", nullable=False),
        sa.Column("last_name", sa.Text(), server_default="", nullable=False),
        sa.Column("mobile", sa.Text(), nullable=True, comment="E.164 with plus"),
        sa.Column("mobile_country", sa.Text(), server_default="", nullable=False),
        sa.Column("terms_accepted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        comment="reference: a person who works with texts, in any number of accounts",
    )
    op.create_index("uq_users_email", "users", ["email"], unique=True)
    op.create_table(
        "memberships",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "role IN ('administrator', 'campaign_manager', 'sender', 'read_only')",
            name=op.f("ck_memberships_role"),
        ),
        sa.PrimaryKeyConstraint("account_id", "user_id", name=op.f("pk_memberships")),
        comment="reference: that a user belongs to an account, and as what",
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"], unique=False)
    op.create_table(
        "groups",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "tags", postgresql.ARRAY(Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("use_shared_pool", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_groups")),
        comment="reference: an inbox of an account: its senders and who reads it;"
        " the default one's id is the account's",
    )
    op.create_index("uq_groups_account_id_name", "groups", ["account_id", "name"], unique=True)
    op.create_index(
        "uq_groups_default",
        "groups",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "group_users",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("group_id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("joined_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "group_id", "user_id", name=op.f("pk_group_users")),
        comment="reference: who reads and answers the conversations of a group",
    )
    op.create_table(
        "templates",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), server_default="SMS", nullable=False),
        sa.Column(
            "media",
            postgresql.JSONB(astext_type=Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("type IN ('SMS', 'Web')", name=op.f("ck_templates_type")),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_templates")),
        comment="tenant: a text with fields that people and programs keep for use again",
    )
    op.add_column(
        "senders",
        sa.Column(
            "group_id", sa.UUID(), nullable=True, comment="null: the account's default group"
        ),
    )
    op.add_column(
        "conversations",
        sa.Column(
            "last_inbound_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="null: nothing came in",
        ),
    )
    op.add_column(
        "conversations",
        sa.Column(
            "read_by",
            postgresql.ARRAY(sa.UUID()),
            server_default=sa.text("'{}'::uuid[]"),
            nullable=False,
            comment="the users who have read what came in last",
        ),
    )
    op.alter_column(
        "conversations",
        "unread",
        existing_type=sa.Boolean(),
        existing_nullable=False,
        existing_server_default=sa.text("false"),
        comment="nobody has read what came in last",
    )
    op.execute(
        "INSERT INTO groups (account_id, id, name, is_default, created_at, updated_at)"
        " SELECT id, id, 'Default', true, created_at, created_at FROM accounts"
    )
    op.execute("UPDATE conversations SET last_inbound_at = updated_at WHERE unread")


def downgrade() -> None:
    raise NotImplementedError("Groups cannot be taken apart again: restore a backup instead.")
