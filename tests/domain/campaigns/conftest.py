"""What the tests of campaigns share."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.domain.campaigns.rig import CampaignRig


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> CampaignRig:
    made = CampaignRig(pool)
    made.set_up(balance_micros=1_000_000_000)
    return made
