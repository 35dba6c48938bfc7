"""The bed that dispatch's flows run on."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.dispatch.bed import Bed
from viesti.kit.config import Settings


@pytest.fixture
async def bed(settings: Settings, pool: ConnectionPool[psycopg.Connection]) -> AsyncGenerator[Bed]:
    """One account, one carrier, one sender; no dispatcher yet."""
    made = await Bed.make(settings, pool)
    yield made
    await made.close()
