"""The platform's state for ``/metrics``: read at a scrape, and kept some seconds.

However many scrape, and however often, the database is asked once in that time by each worker.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from viesti.api.database import Database
from viesti.kit.clock import utc_now
from viesti.kit.errors import ViestiError
from viesti.monitoring.status import read_status

log = structlog.get_logger()

KEPT_S = 5.0


class PlatformMetrics:
    def __init__(self, database: Database, *, kept_s: float = KEPT_S) -> None:
        self._database = database
        self._kept_s = kept_s
        self._lock = asyncio.Lock()
        self._text = b""
        self._read_at_s: float | None = None

    async def text(self) -> bytes:
        """Gauges in Prometheus' text format; ``viesti_status_ok 0`` alone if they cannot be read."""
        async with self._lock:
            if self._read_at_s is None or time.monotonic() - self._read_at_s >= self._kept_s:
                self._text = await self._read()
                self._read_at_s = time.monotonic()
            return self._text

    async def _read(self) -> bytes:
        # Imported here for the reason that ``api/app.py`` gives: it brings prometheus_client.
        from viesti.monitoring.gauges import exposition

        try:
            return exposition(await self._database.run(lambda conn: read_status(conn, utc_now())))
        except ViestiError as error:
            log.warning("status_not_read", code=error.code)
            return exposition(None)
