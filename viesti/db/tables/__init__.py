"""Every table, declared once. Alembic's migrations must equal these (``make check``)."""

from viesti.db.tables import (
    campaigns,
    contacts,
    events,
    files,
    imports,
    ledgers,
    local,
    messages,
    people,
    reference,
    templates,
)
from viesti.db.tables._kinds import Kind, metadata

__all__ = [
    "Kind",
    "campaigns",
    "contacts",
    "events",
    "files",
    "imports",
    "ledgers",
    "local",
    "messages",
    "metadata",
    "people",
    "reference",
    "templates",
]
