"""What the tests of the invariants run on: the beds and rigs of the rooms."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import ConnectionPool

# Fixtures are found by their names here.
from tests.api.conftest import http as http
from tests.api.conftest import key as key
from tests.api.conftest import new_tenant as new_tenant
from tests.flows.dispatch.conftest import bed as bed
from tests.messaging_rig import Rig


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> Rig:
    return Rig(pool).set_up()
