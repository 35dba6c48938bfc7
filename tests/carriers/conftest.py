"""Fixtures of the carriers' tests; the parts are in ``carrier_rig``."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.carriers.carrier_rig import Rig


@pytest.fixture
async def rig() -> AsyncGenerator[Rig]:
    """A simulator that listens, and everything that was started with it ended after."""
    rig = Rig()
    await rig.simulator.start()
    yield rig
    await rig.stop()
