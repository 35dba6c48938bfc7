"""Rows of a contact file imported a second: ``python bench/import.py [--rows 1000000]``.

``viesti serve`` runs with an embedded PostgreSQL, fsync on; the client shares the machine. The
file has names, an e-mail address, tags and two attributes, one row in a hundred is refused, and
one in ten names a number a second time. The figure is from the first octet sent to the end of the
job; ``--again`` imports the file once more, over contacts that are all there.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
from stage import Client, Platform, machine, serving

LINES_A_PIECE = 2_000
LIMIT_MB = 300
HEADER = "Mobile,Country,First Name,Last Name,E-mail,Tags,Plan,City\r\n"


def lines(rows: int, plan: str) -> Iterator[bytes]:
    piece = [HEADER]
    for n in range(rows):
        number = n if n % 10 else n // 2
        mobile = "12345" if n % 100 == 99 else f"+1{212 + number // 5_000_000}{2_000_000 + number}"
        piece.append(
            f"{mobile},US,Ada{n % 997},Lovelace{n % 9973},ada{n}@example.com,"
            f"tag {n % 7} | customer,{plan},City {n % 300}\r\n"
        )
        if len(piece) >= LINES_A_PIECE:
            yield "".join(piece).encode()
            piece = []
    yield "".join(piece).encode()


class Memory:
    """Watches the largest process of the platform; the database's shared pages aside."""

    def __init__(self, platform: Platform) -> None:
        self._root = psutil.Process(platform.process.pid)
        self.largest: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            for process in self._root.children(recursive=True):
                try:
                    words = process.cmdline()
                    info = process.memory_info()
                except psutil.Error:
                    continue
                if any(word.endswith("viesti") for word in words[:2]):
                    name = next((w for w in words if w in ("api", "dispatch", "work")), words[-1])
                    rss = info.rss / 2**20
                    self.largest[name] = max(self.largest.get(name, 0), rss)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def import_file(client: Client, rows: int, plan: str) -> None:
    started = time.perf_counter()
    answer = client.http.post(
        f"{client.url}/contacts",
        content=lines(rows, plan),
        headers={"content-type": "text/csv"},
        timeout=600,
    )
    answer.raise_for_status()
    data = answer.json()["data"]
    uploaded = time.perf_counter() - started
    job_id = data.get("jobId")
    while job_id and data.get("status") not in ("complete", "failed"):
        time.sleep(0.2)
        data = client.http.get(f"{client.url}/imports/{job_id}").json()["data"]
    took = time.perf_counter() - started
    print(
        f"{data['submitted']:,} rows in {took:.1f} s: {rows / took:,.0f} rows/s"
        f" (uploaded in {uploaded:.1f} s, {rows / uploaded:,.0f} rows/s);"
        f" inserted {data['inserted']:,}, updated {data['updated']:,},"
        f" refused {data['submitted'] - data['success']:,}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--again", action="store_true")
    chosen = options.parse_args()
    print(machine())
    with serving(demo=False) as platform:
        client = platform.client()
        memory = Memory(platform)
        try:
            import_file(client, chosen.rows, "gold")
            if chosen.again:
                import_file(client, chosen.rows, "silver")
        except httpx.HTTPStatusError as error:
            raise SystemExit(error.response.text) from error
        finally:
            memory.stop()
        shown = ", ".join(f"{name} {mb:.0f} MB" for name, mb in sorted(memory.largest.items()))
        print(f"largest processes: {shown} (promised: at most {LIMIT_MB} MB each)")


if __name__ == "__main__":
    main()
