"""Open handset pages hear of changes as server-sent events; used by ``http``.

A few times a second, and only while a page is open, the handsets that changed are described
once and handed to every page. A page that does not keep up is let go and comes back by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from viesti.carriers.simulator.control import Control

if TYPE_CHECKING:
    from viesti.carriers.simulator.network import Network

_EVERY_S = 0.2
_HANDSETS_AT_ONCE = 40
_BEHIND_AT_MOST = 20
_PAGES_AT_MOST = 50
_KEEP_ALIVE_S = 15.0

_Queue = asyncio.Queue[bytes | None]


class LivePages:
    def __init__(self, network: Network, control: Control) -> None:
        self._network = network
        self._control = control
        self._queues: set[_Queue] = set()
        self._handle: asyncio.TimerHandle | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """``event: handset`` with one handset's description per event, until the page goes."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        if len(self._queues) >= _PAGES_AT_MOST:
            return web.Response(status=503)
        await response.prepare(request)
        queue: _Queue = asyncio.Queue(_BEHIND_AT_MOST + 1)
        self._queues.add(queue)
        self._start()
        try:
            await response.write(b"retry: 1000\nevent: hello\ndata: {}\n\n")
            while True:
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        octets = await queue.get()
                except TimeoutError:
                    octets = b": still here\n\n"
                if octets is None:
                    return response
                await response.write(octets)
        except ConnectionResetError:
            return response
        finally:
            self._queues.discard(queue)

    def stop(self) -> None:
        """Let all pages go."""
        for queue in list(self._queues):
            self._let_go(queue)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _start(self) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(_EVERY_S, self._tell)

    def _tell(self) -> None:
        self._handle = None
        if not self._queues:
            return
        changed = self._network.handsets.changed
        events: list[bytes] = []
        while changed and len(events) < _HANDSETS_AT_ONCE:
            handset = self._network.handsets.find(changed.pop())
            if handset is not None:
                document = msgspec.json.encode(self._control.describe(handset))
                events.append(b"event: handset\ndata: " + document + b"\n\n")
        if events:
            octets = b"".join(events)
            for queue in list(self._queues):
                if queue.qsize() < _BEHIND_AT_MOST:
                    queue.put_nowait(octets)
                else:
                    self._let_go(queue)
        self._start()

    def _let_go(self, queue: _Queue) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
