"""Fixtures of the room's tests; the parts are in ``tests/messaging_rig.py``."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import Rig


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> Rig:
    """An account with ten units of money, one carrier and one sender."""
    return Rig(pool).set_up()
