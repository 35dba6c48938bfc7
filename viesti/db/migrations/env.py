"""What Alembic runs for each command; ``viesti.db.migrate`` hands it an open connection."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from viesti.db.migrate import include_object
from viesti.db.tables import metadata

connection = context.config.attributes["connection"]
assert isinstance(connection, Connection)
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_object=include_object,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
