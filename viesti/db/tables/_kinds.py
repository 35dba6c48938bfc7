"""The three kinds of tables and the helper that declares one; used by the table modules.

Kinds decide where rows live once the engine is distributed (docs/ARCHITECTURE.md):
a *tenant* table is spread by ``account_id``, a *reference* table is copied to every node, a
*local* table stays on one coordinator. The kind is the first word of the table's comment, so
that a test can read it back from the catalogue.
"""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


class Kind(enum.Enum):
    TENANT = "tenant"
    REFERENCE = "reference"
    LOCAL = "local"


def table(kind: Kind, name: str, purpose: str, *items: Any, **options: Any) -> Table:
    """A table of ``kind`` whose comment names the kind and the ``purpose``."""
    return Table(
        name, metadata, *items, comment=f"{kind.value}: {purpose}", info={"kind": kind}, **options
    )


def uuid_column(name: str, **options: Any) -> Column[Any]:
    options.setdefault("nullable", False)
    return Column(name, UUID(as_uuid=True), **options)


def account_key() -> Column[Any]:
    """``account_id``, first in the primary key of every tenant table."""
    return uuid_column("account_id", primary_key=True)


def moment(name: str, **options: Any) -> Column[Any]:
    """An aware point in time; nullable unless told otherwise."""
    return Column(name, TIMESTAMP(timezone=True), **options)
