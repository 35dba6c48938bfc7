"""An account with a carrier and a sender, and a dispatcher's hands."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import Rig


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> Rig:
    return Rig(pool).set_up(balance_micros=1_000_000_000)
