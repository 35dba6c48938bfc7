"""One leased bind: its client, and the outcomes and arrivals that it gathers for the desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from viesti.carriers.arrivals import Arrival
from viesti.carriers.base import Delivery, SubmitOutcome
from viesti.carriers.smpp.client import SmppClient, SmppSettings
from viesti.dispatch.leases import BindLease
from viesti.kit.ids import new_id

log = structlog.get_logger()

# An acknowledgement is known to have arrived when the carrier speaks this long after it.
_PROVEN_AFTER_S = 1.0


class Bind:
    """Implements ``CarrierEvents``: everything lands in two lists, and the desk is woken."""

    def __init__(
        self,
        lease: BindLease,
        smpp: SmppSettings,
        wake: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.lease = lease
        self.outcomes: list[SubmitOutcome] = []
        self.arrivals: list[Arrival] = []
        self.session_id: UUID = new_id()
        self.error = ""
        self.state_changed = False
        self._was_bound = False
        # Acknowledged arrivals whose acknowledgement is not known to have reached the carrier.
        self.unproven: list[tuple[float, UUID]] = []
        self._wake = wake
        self._on_failure = on_failure
        self.client = SmppClient(smpp, self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.client.run()
        except Exception as error:  # noqa: BLE001 (a bind that ended unseen would never be missed)
            self._on_failure(error)

    def on_outcomes(self, outcomes: Sequence[SubmitOutcome]) -> None:
        self.outcomes.extend(outcomes)
        self._wake()

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self.arrivals.extend(Arrival(d, new_id(), self.session_id) for d in deliveries)
        self._wake()

    def on_bound(self) -> None:
        self.session_id = new_id()
        self.unproven.clear()
        self.error = ""
        self.state_changed = True
        self._was_bound = True
        log.info("bound", carrier_id=str(self.lease.carrier_id), slot=self.lease.slot)
        self._wake()

    def on_unbound(self, reason: str) -> None:
        self.error = reason
        self.state_changed = True
        # A carrier that is not up yet when we start is no loss: the first bind comes by itself.
        tell = log.warning if self._was_bound else log.info
        tell("unbound", carrier_id=str(self.lease.carrier_id), slot=self.lease.slot, reason=reason)
        self._wake()

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        self.client.acknowledge([arrival.delivery for arrival in arrivals])
        now_s = asyncio.get_running_loop().time()
        self.unproven.extend(
            (now_s, arrival.id)
            for arrival in arrivals
            if arrival.delivery.receipt is None and arrival.session_id == self.session_id
        )

    def take_proven(self) -> list[UUID]:
        """Arrivals whose acknowledgement the carrier must have read: it spoke after it."""
        heard_s = self.client.heard_s - _PROVEN_AFTER_S
        proven = [id_ for at_s, id_ in self.unproven if at_s < heard_s]
        self.unproven = [entry for entry in self.unproven if entry[0] >= heard_s]
        return proven

    async def close(self, drain_s: float) -> None:
        """Wait for answers, unbind, and end. What stays unanswered becomes an outcome."""
        await self.client.close(drain_s)
        await self._task
