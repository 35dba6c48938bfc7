"""Room on each page for a new version of every row: batches change whole pages at once."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Partitions to come take theirs from ``viesti.db.partitions``.
_PARTITIONS = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'messages'::regclass AND inhrelid <> 'messages_default'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s SET (fillfactor = 45)', part);
    END LOOP;
END $$
"""


def upgrade() -> None:
    # Pages that are written already stay as they are.
    op.execute("ALTER TABLE message_segments SET (fillfactor = 45)")
    op.execute("ALTER TABLE dispatch_queue SET (fillfactor = 45)")
    op.execute("ALTER TABLE conversations SET (fillfactor = 45)")
    op.execute(_PARTITIONS)


def downgrade() -> None:
    raise NotImplementedError("Nothing is lost by it: restore a backup to go back.")
