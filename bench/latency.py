"""How long one text takes: ``python bench/latency.py [--texts 300] [--pause 0.05]``.

One text at a time through a whole `viesti serve`: from the API call to the PDU at the SMSC, and
from a handset's text to the webhook at its receiver. All processes share the machine.
"""

from __future__ import annotations

import argparse
import http.server
import json
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
from stage import Platform, machine, serving


def percentiles(name: str, taken_s: Sequence[float]) -> None:
    ordered = sorted(taken_s)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    print(
        f"{name:28} p50 {at(0.5):6.1f} ms   p95 {at(0.95):6.1f} ms   p99 {at(0.99):6.1f} ms"
        f"   ({len(ordered)} texts)"
    )


def outbound(platform: Platform, texts: int, pause_s: float) -> list[float]:
    """Seconds from the call's first octet to the SMSC's record of the PDU."""
    client = platform.client()
    called: dict[str, float] = {}
    for number in range(texts):
        text = f"Latency {number}"
        called[text] = time.time()
        client.post("messages", {"contacts": [{"mobile": "+13475550100"}], "template": text})
        time.sleep(pause_s)
    time.sleep(1)
    arrived: dict[str, float] = {}
    after = 0
    while True:
        page = httpx.get(
            f"{platform.handsets}/log",
            params={"command": "submit_sm", "after": after, "limit": 1000},
        ).json()
        for entry in page["entries"]:
            arrived[entry["text"]] = datetime.fromisoformat(entry["at"]).timestamp()
        if not page["entries"]:
            break
        after = page["after"]
    return [arrived[text] - at for text, at in called.items()]


class Receiver:
    """A webhook endpoint that notes when which text arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.arrived[event["payload"]["message"]] = time.time()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                return None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def inbound(platform: Platform, texts: int, pause_s: float) -> list[float]:
    """Seconds from the handset's text to the webhook's call."""
    client = platform.client()
    receiver = Receiver()
    url = f"http://127.0.0.1:{receiver.server.server_port}/"
    client.post("webhooks", {"url": url, "eventTypes": ["message-received"]})
    handset = httpx.Client(timeout=10)
    sent: dict[str, float] = {}
    for number in range(texts):
        text = f"Reply {number}"
        sent[text] = time.time()
        handset.post(
            f"{platform.handsets}/handsets/+13475550101/messages",
            json={"to": client.sender, "text": text},
        ).raise_for_status()
        time.sleep(pause_s)
    deadline = time.monotonic() + 10
    while len(receiver.arrived) < texts and time.monotonic() < deadline:
        time.sleep(0.05)
    return [receiver.arrived[text] - at for text, at in sent.items()]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--texts", type=int, default=300)
    options.add_argument("--pause", type=float, default=0.05, help="seconds between two texts")
    chosen = options.parse_args()
    print(machine())
    with serving() as platform:
        percentiles("API call to PDU", outbound(platform, chosen.texts, chosen.pause))
        percentiles("inbound PDU to webhook", inbound(platform, chosen.texts, chosen.pause))


if __name__ == "__main__":
    main()
