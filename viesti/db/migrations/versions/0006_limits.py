"""How often an API client may ask, counted for all processes together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_buckets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Float(precision=53), nullable=False),
        sa.Column(
            "filled_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="when tokens was right; it grows from there",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_buckets")),
        comment="local: requests that each API client may still make at once, by what is asked for",
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    raise NotImplementedError("The tables of this release are not taken back: restore a backup.")
