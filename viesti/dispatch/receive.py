"""Takes what a carrier delivers: commit through ``inbound``, then acknowledge; used by the desk.

Runs beside the desk's turns, in a thread of its own, so that receipts do not wait for starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.carriers.arrivals import Arrival, Source, Taken
from viesti.db.waker import Waker
from viesti.dispatch.bind import Bind
from viesti.dispatch.carriers import CarrierRow, find_id_format
from viesti.dispatch.settings import DISPATCH_CHANNEL, GATHER_S
from viesti.events.outbox import WEBHOOKS_CHANNEL

log = structlog.get_logger()

# Commits a batch of one carrier's arrivals before it returns; ``inbound`` is behind it.
TakeArrivals = Callable[[ConnectionPool[psycopg.Connection], Source, Sequence[Arrival]], Taken]

_TROUBLE_FIRST_S = 0.1
_TROUBLE_MOST_S = 2.0
# More than this in one transaction only makes the acknowledgements late.
_MAX_BATCH = 2_000


class Receiver:
    def __init__(
        self,
        carrier: CarrierRow,
        binds: Mapping[int, Bind],
        pool: ConnectionPool[psycopg.Connection],
        waker: Waker,
        take_arrivals: TakeArrivals,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.receipts = 0
        self.texts = 0
        self.carrier = carrier
        self._on_failure = on_failure
        self._binds = binds
        self._pool = pool
        self._waker = waker
        self._take_arrivals = take_arrivals
        self._due = asyncio.Event()
        self._closing = False
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"receive {carrier.name}")
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        self._due.set()

    async def close(self) -> None:
        """Take what is here, then end."""
        self._closing = True
        self._due.set()
        try:
            await self._task
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        try:
            await self._serve()
        except Exception as error:  # noqa: BLE001 (whatever it is, the process must not go on)
            self._on_failure(error)

    async def _serve(self) -> None:
        trouble_s = _TROUBLE_FIRST_S
        while True:
            await self._due.wait()
            self._due.clear()
            batches: list[tuple[Bind, list[Arrival]]] = []
            for bind in self._binds.values():
                if bind.arrivals:
                    batches.append((bind, bind.arrivals[:_MAX_BATCH]))
                    del bind.arrivals[:_MAX_BATCH]
            if not batches:
                if self._closing:
                    return
                continue
            try:
                await self._take([arrival for _, batch in batches for arrival in batch])
            except (psycopg.Error, PoolTimeout) as error:
                # Not acknowledged: tried again here, and sent again by the carrier if we end.
                log.warning("arrivals_failed", error=type(error).__name__)
                for bind, batch in batches:
                    bind.arrivals[:0] = batch
                if self._closing:
                    return
                await asyncio.sleep(trouble_s)
                trouble_s = min(trouble_s * 2, _TROUBLE_MOST_S)
            else:
                trouble_s = _TROUBLE_FIRST_S
                for bind, batch in batches:
                    bind.acknowledge(batch)
                # Whatever came while this batch was committed makes the next one.
                await asyncio.sleep(GATHER_S)
            self._due.set()

    async def _take(self, arrivals: Sequence[Arrival]) -> None:
        live = frozenset(b.session_id for b in self._binds.values() if b.client.is_bound)

        def work() -> None:
            with self._pool.connection() as conn:
                id_format = find_id_format(conn, self.carrier.id)
            source = Source(self.carrier.id, id_format, self.carrier.receipts, live)
            taken = self._take_arrivals(self._pool, source, arrivals)
            if taken.lanes:
                lanes = ",".join(str(lane) for lane in taken.lanes[:100])
                self._waker.wake(DISPATCH_CHANNEL, lanes)
            if taken.has_events:
                self._waker.wake(WEBHOOKS_CHANNEL)

        await asyncio.get_running_loop().run_in_executor(self._threads, work)
        receipts = sum(arrival.delivery.receipt is not None for arrival in arrivals)
        self.receipts += receipts
        self.texts += len(arrivals) - receipts
