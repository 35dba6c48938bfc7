"""A simulator on a real socket, and clients bound to it whose events are written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from viesti.carriers.base import Delivery, Submit, SubmitOutcome, Verdict
from viesti.carriers.simulator.server import Simulator
from viesti.carriers.simulator.settings import SimulatorSettings
from viesti.carriers.smpp.client import SmppClient, SmppSettings

SENDER = "+12025550100"
HANDSET = "+13475550101"


class Recorder:
    """A ``CarrierEvents`` that keeps all it hears and acknowledges, if told to."""

    def __init__(self) -> None:
        self.outcomes: list[SubmitOutcome] = []
        self.deliveries: list[Delivery] = []
        self.bound = 0
        self.reasons: list[str] = []
        self.acknowledges = True
        self.client: SmppClient | None = None
        self._news = asyncio.Event()

    def on_outcomes(self, outcomes: Sequence[SubmitOutcome]) -> None:
        self.outcomes += outcomes
        self._news.set()

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries += deliveries
        if self.acknowledges and self.client is not None:
            self.client.acknowledge(deliveries)
        self._news.set()

    def on_bound(self) -> None:
        self.bound += 1
        self._news.set()

    def on_unbound(self, reason: str) -> None:
        self.reasons.append(reason)
        self._news.set()

    async def until(self, reached: Callable[[], object], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not reached():
                self._news.clear()
                await self._news.wait()

    # Shorthands

    def verdicts(self) -> dict[object, Verdict]:
        return {outcome.key: outcome.verdict for outcome in self.outcomes}

    @property
    def receipts(self) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.receipt is not None]

    @property
    def texts(self) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.receipt is None]


class Rig:
    """One simulator and any number of clients, all ended with the test."""

    def __init__(self) -> None:
        self.simulator = Simulator(
            SimulatorSettings(
                smpp_port=0,
                http_port=0,
                accounts={"viesti": "secret", "other": "secret"},
                receipt_delay_s=0.02,
                redelivery_delay_s=0.05,
            )
        )
        self.settings = SmppSettings("127.0.0.1", 0, "viesti", "secret", backoff_first_s=0.05)
        self._running: list[tuple[SmppClient, asyncio.Task[None]]] = []

    async def start(self, **changes: Any) -> Recorder:
        """A client that connects; changes are of its settings."""
        recorder = Recorder()
        port = changes.pop("port", self.simulator.smpp_port)
        client = SmppClient(replace(self.settings, port=port, **changes), recorder)
        recorder.client = client
        self._running.append((client, asyncio.create_task(client.run())))
        return recorder

    async def bound(self, **changes: Any) -> tuple[SmppClient, Recorder]:
        """A client that is bound."""
        recorder = await self.start(**changes)
        await recorder.until(lambda: recorder.bound)
        assert recorder.client is not None
        return recorder.client, recorder

    async def stop(self) -> None:
        for client, task in self._running:
            await client.close(0.0)
            await task
        await self.simulator.stop()


def submit(key: object, text: bytes = b"hello", **changes: Any) -> Submit:
    segment = Submit(key, SENDER, HANDSET, text, 0, False, None)
    return replace(segment, **changes)
