"""Lists that a handset joins: one keyword is one list's, and who was asked whether it means it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# The oldest list keeps its keyword. A list with a filter holds whom it matches: nobody joins it.
_ONE_KEYWORD_EACH = """
UPDATE lists l SET keyword = NULL
WHERE l.keyword IS NOT NULL AND (l.filter IS NOT NULL OR EXISTS (
    SELECT 1 FROM lists o WHERE o.account_id = l.account_id AND o.keyword = l.keyword
    AND o.filter IS NULL AND o.id < l.id))
"""


def upgrade() -> None:
    op.execute(_ONE_KEYWORD_EACH)
    op.create_index(
        "uq_lists_account_id_keyword",
        "lists",
        ["account_id", "keyword"],
        unique=True,
        postgresql_where=sa.text("keyword IS NOT NULL"),
    )
    op.create_table(
        "list_prompts",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("list_id", sa.UUID(), nullable=False),
        sa.Column(
            "conversation_id",
            sa.UUID(),
            nullable=True,
            comment="where a yes is awaited; null: no longer",
        ),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "contact_id", "list_id", name=op.f("pk_list_prompts")
        ),
        comment="tenant: contacts that were asked lately whether they want to be on a list",
    )


def downgrade() -> None:
    raise NotImplementedError("Consent that was given since would be lost: restore a backup.")
