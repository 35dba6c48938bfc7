"""Every table, declared once. Alembic's migrations must equal these (``make check``)."""

from viesti.db.tables import contacts, events, ledgers, local, messages, reference
from viesti.db.tables._kinds import Kind, metadata

__all__ = ["Kind", "contacts", "events", "ledgers", "local", "messages", "metadata", "reference"]
