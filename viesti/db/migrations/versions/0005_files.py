"""Shared files and their links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "stored_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="null: the octets are not there",
        ),
        sa.Column(
            "removed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when the octets were taken away",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_files")),
        comment="tenant: a file that was shared by a link; its octets lie in the object store"
        " under account/id",
    )
    op.create_index(
        "ix_files_expires_at",
        "files",
        ["account_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index(
        "ix_files_lost",
        "files",
        ["account_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("stored_at IS NULL AND removed_at IS NULL"),
    )
    op.create_table(
        "file_links",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("file_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_file_links")),
        comment="local: routing key of each shared file",
    )
    op.create_index(
        "ix_file_links_account_id", "file_links", ["account_id", "file_id"], unique=False
    )


def downgrade() -> None:
    raise NotImplementedError("The tables of this release are not taken back: restore a backup.")
