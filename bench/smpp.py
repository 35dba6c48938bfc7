"""How fast the SMPP client submits and takes receipts, against the simulator on a real socket.

Run: python bench/smpp.py [--texts 100000] [--window 2000]

The simulator runs in a process of its own. Printed are texts a second by the clock, with every
answer and every receipt in and acknowledged, and by each side's own processor time: what one
core would do if nothing else ran on it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

import uvloop
from stage import machine

from viesti.carriers.base import Delivery, Submit, SubmitOutcome, Verdict
from viesti.carriers.simulator.server import Simulator, tune_process
from viesti.carriers.simulator.settings import SimulatorSettings
from viesti.carriers.smpp.client import SmppClient, SmppSettings

SENDER = "+12025550100"
TEXT = b"Your appointment is confirmed for Monday at 10:30. Reply 1 to change it."


def serve_simulator(pipe: Connection) -> None:
    async def serve() -> None:
        settings = SimulatorSettings(smpp_port=0, http_port=0, receipt_delay_s=0.01)
        simulator = await Simulator(settings).start()
        pipe.send(simulator.smpp_port)
        before_s = 0.0
        while True:
            asked = await asyncio.to_thread(pipe.recv)
            if asked == "start":
                before_s = time.process_time()
            elif asked == "stop":
                pipe.send((time.process_time() - before_s, simulator.network.log.taken))
                break
        await simulator.stop()

    tune_process()
    uvloop.run(serve())


class Bench:
    """Submits as much as there is room for, acknowledges what comes, counts."""

    def __init__(self, texts: int) -> None:
        self.texts = texts
        self.sent = self.accepted = self.receipts = self.other = 0
        self.client: SmppClient | None = None
        self.bound = asyncio.Event()
        self.done = asyncio.Event()

    def fill(self) -> None:
        assert self.client is not None
        count = min(self.client.room, self.texts - self.sent)
        if count > 0:
            first = self.sent
            self.sent += count
            self.client.submit(
                [
                    Submit(index, SENDER, f"+1347{index:07}", TEXT, 0, False, index & 0xFFFF)
                    for index in range(first, first + count)
                ]
            )

    def on_outcomes(self, outcomes: Sequence[SubmitOutcome]) -> None:
        for outcome in outcomes:
            if outcome.verdict is Verdict.ACCEPTED:
                self.accepted += 1
            else:
                self.other += 1
        self.fill()

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        assert self.client is not None
        self.receipts += len(deliveries)
        self.client.acknowledge(deliveries)
        if self.receipts >= self.texts:
            self.done.set()

    def on_bound(self) -> None:
        self.bound.set()

    def on_unbound(self, reason: str) -> None:
        if not self.done.is_set():
            print(f"lost the bind: {reason}")


async def measure(port: int, pipe: Connection, texts: int, window: int) -> None:
    bench = Bench(texts)
    client = SmppClient(SmppSettings("127.0.0.1", port, "viesti", "viesti", window=window), bench)
    bench.client = client
    running = asyncio.create_task(client.run())
    await bench.bound.wait()
    pipe.send("start")
    cpu_s, clock_s = time.process_time(), time.perf_counter()
    bench.fill()
    async with asyncio.timeout(120):
        await bench.done.wait()
    clock_s = time.perf_counter() - clock_s
    cpu_s = time.process_time() - cpu_s
    pipe.send("stop")
    peer_cpu_s, taken = pipe.recv()
    await client.close(1.0)
    await running
    print(f"texts                      {texts:>12,}  (window {window})")
    print(f"answered / with receipt    {bench.accepted:>12,} / {bench.receipts:,}")
    print(f"taken by the simulator     {taken:>12,}")
    print(f"by the clock               {texts / clock_s:>12,.0f} texts/s")
    print(f"client, per core           {texts / cpu_s:>12,.0f} texts/s")
    print(f"simulator, per core        {texts / peer_cpu_s:>12,.0f} texts/s")
    print(f"machine                    {machine()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--window", type=int, default=2000)
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve_simulator, args=(theirs,), daemon=True
    )
    process.start()
    port = ours.recv()
    uvloop.run(measure(port, ours, arguments.texts, arguments.window))
    process.join(5)


if __name__ == "__main__":
    main()
