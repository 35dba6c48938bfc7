"""Posts the reports of campaigns to the URLs that ordered them; a thread of the ``work`` role."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.domain.campaigns.reports import Report, claim_reports, secret_purpose, settle_report
from viesti.kit.clock import utc_now
from viesti.kit.safe_http import CallFailed, SafeClient
from viesti.kit.secrets import PlatformKey
from viesti.webhooks.sign import Signer

log = structlog.get_logger()

POLL_S = 1.0
STOP_S = 30.0


@dataclass(slots=True)
class Reporter:
    """Any number of processes may have one: a report is taken under its row's lock.

    Receivers answer 2xx and know a report they heard before by its ``webhook-id``, the run's.
    """

    pool: ConnectionPool[psycopg.Connection]
    key: PlatformKey
    allow_private: bool
    timeout_s: float
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the reports under way have ended."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_S)

    def run_due(self, now: datetime) -> int:
        """Post what is due; how many that were."""
        with self.pool.connection() as conn:
            reports = claim_reports(conn, now)
        if reports:
            asyncio.run(self._post_all(reports))
        return len(reports)

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                while self.run_due(utc_now()) and not self._stopping.is_set():
                    pass
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("reports_paused", error=type(error).__name__)
            except Exception:
                # The next look goes on with the others: this one waits for its lease to end.
                log.exception("reports_failed")

    async def _post_all(self, reports: Sequence[Report]) -> None:
        client = SafeClient(allow_private=self.allow_private, timeout_s=self.timeout_s)
        try:
            await asyncio.gather(*(self._post(client, report) for report in reports))
        finally:
            await client.close()

    async def _post(self, client: SafeClient, report: Report) -> None:
        signer = Signer(self.key.derive(secret_purpose(report.account_id)))
        headers = signer.headers(report.run_id, utc_now(), report.body)
        try:
            answer = await client.post(report.url, report.body.encode(), headers)
            accepted = 200 <= answer.status < 300
        except CallFailed as failed:
            log.warning("report_failed", run_id=str(report.run_id), reason=str(failed))
            accepted = False
        await asyncio.to_thread(self._settle, report, accepted)

    def _settle(self, report: Report, accepted: bool) -> None:
        with self.pool.connection() as conn:
            settle_report(conn, report, accepted, utc_now())
