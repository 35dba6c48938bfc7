"""Contact files that are worked off in the background: the file's rows, and what was refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="uploading (invisible), running, complete, failed, canceled",
        ),
        sa.Column("strategy", sa.Text(), server_default="append", nullable=False),
        sa.Column(
            "columns",
            postgresql.JSONB(astext_type=Text()),
            nullable=False,
            comment="the header as it was understood",
        ),
        sa.Column("default_country", sa.Text(), server_default="", nullable=False),
        sa.Column("octets", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "rows",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="all, the header aside",
        ),
        sa.Column("chunks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chunks_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "inserted",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="contacts, not rows",
        ),
        sa.Column(
            "updated",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="contacts, not rows",
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "worked_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="when a chunk was last stored or worked off",
        ),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_imports")),
        comment="tenant: a contact file that is, or was, worked off in the background;"
        " kept as long as events",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_imports_open",
        "imports",
        ["account_id", "worked_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "import_chunks",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("import_id", sa.UUID(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False, comment="from 0"),
        sa.Column("first_row", sa.Integer(), nullable=False),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=True,
            comment="zlib of the rows as JSON; null: done",
        ),
        sa.Column(
            "numbers",
            sa.LargeBinary(),
            nullable=True,
            comment="eight octets for each contact of a chunk that is done",
        ),
        sa.PrimaryKeyConstraint("account_id", "import_id", "n", name=op.f("pk_import_chunks")),
        comment="tenant: rows of a file that wait; when done, the numbers that they named;"
        " gone with the import's end",
    )
    op.create_table(
        "import_errors",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("import_id", sa.UUID(), nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "refused",
            postgresql.JSONB(astext_type=Text()),
            nullable=False,
            comment="the number as written, names, and why",
        ),
        sa.PrimaryKeyConstraint("account_id", "import_id", "row", name=op.f("pk_import_errors")),
        comment="tenant: rows that were refused: the first thousand of a file;"
        " kept as long as the import",
    )


def downgrade() -> None:
    raise NotImplementedError("Imports that were accepted would be lost: restore a backup instead.")
