"""The simulated SMSC as a whole: its SMPP port, its control API and page, its start and stop.

``viesti simulate`` calls ``run_simulator``; tests start a ``Simulator`` in their own loop, with
ports chosen by the system.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from typing import Self

from viesti.carriers.simulator.behaviour import Behaviour, digits_of
from viesti.carriers.simulator.connection import SmscConnection
from viesti.carriers.simulator.faults import DropPlan
from viesti.carriers.simulator.handsets import Sent
from viesti.carriers.simulator.http import HttpServer
from viesti.carriers.simulator.network import Network
from viesti.carriers.simulator.settings import SimulatorSettings


class Simulator:
    """A phone network in a box. ``start`` it within a running loop, ``stop`` it after."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.network = Network(settings)
        self.smpp_port = 0
        self.http_port = 0
        self._connections: set[SmscConnection] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._made = 0
        self._server: asyncio.Server | None = None
        self._http: HttpServer | None = None

    async def start(self) -> Self:
        """Listen on both ports; OSError if one is taken."""
        await self._listen(self.settings.smpp_port)
        self._http = HttpServer(self)
        try:
            self.http_port = await self._http.start(self.settings.http_port)
        except OSError:
            await self.stop()
            raise
        return self

    async def _listen(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make, self.settings.host, port)
        self.smpp_port = self._server.sockets[0].getsockname()[1]

    def _make(self) -> SmscConnection:
        self._made += 1
        return SmscConnection(self.network, self, self._made)

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.stop()
            self._http = None
        await self.stop_listening()
        self.drop_all()
        self.network.close()
        # The cut connections are told of it in the loop's next rounds.
        await self._idle.wait()

    # An outage that a client sees as "connection refused"

    async def stop_listening(self) -> None:
        """Close the SMPP port; what is connected stays so."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def listen_again(self) -> None:
        """Open the same SMPP port again."""
        if self._server is None:
            await self._listen(self.smpp_port)

    # For connections

    def opened(self, connection: SmscConnection) -> bool:
        if self.network.faults.is_out or len(self._connections) >= self.settings.max_connections:
            return False
        self._connections.add(connection)
        self._idle.clear()
        return True

    def bound(self, connection: SmscConnection) -> None:
        """Nothing to do yet at a bind: the connection has attached itself to its outbox."""

    def closed(self, connection: SmscConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._idle.set()

    # For tests and the control API

    @property
    def binds(self) -> list[SmscConnection]:
        return [connection for connection in self._connections if connection.is_bound]

    def set_behaviour(self, number: str, behaviour: Behaviour | None) -> None:
        self.network.rules.set_handset(digits_of(number), behaviour)

    def send_text(self, number: str, to: str, text: str, system_id: str | None = None) -> Sent:
        """A text from a handset, to be delivered to whoever owns ``to``."""
        return self.network.send_text(digits_of(number), to, text, system_id)

    def drop_all(self) -> int:
        """Cut all connections now; how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.drop()
        return len(connections)

    def plan_drop(self, plan: DropPlan) -> None:
        self.network.faults.plan(plan)

    def unbind_all(self) -> None:
        for connection in self.binds:
            connection.unbind()


def tune_process() -> None:
    """For a process that does nothing else: look for garbage cycles rarely.

    The records of texts are no cycles, and looking for some among a hundred thousand of them
    costs a quarter of the throughput.
    """
    gc.set_threshold(100_000, 20, 100)


async def run_simulator(
    settings: SimulatorSettings, on_started: Callable[[Simulator], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; ``on_started`` hears once, with the ports in place."""
    tune_process()
    simulator = await Simulator(settings).start()
    if on_started is not None:
        on_started(simulator)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    await simulator.stop()
