"""How long one text takes: ``python bench/latency.py [--texts 200] [--rounds 3]``.

One text at a time through a whole `viesti serve`: from the API call to the PDU at the SMSC, and
from a handset's text to the webhook at its receiver. All processes share the machine. Each figure
is the median of that percentile over the rounds, with the least and the most of them.
"""

from __future__ import annotations

import argparse
import http.server
import json
import statistics
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
from stage import Platform, machine, serving

SHARES = (0.5, 0.95, 0.99)


def report(name: str, rounds: Sequence[Sequence[float]]) -> None:
    told: list[str] = []
    for share in SHARES:
        at_ms = [_percentile(taken_s, share) * 1000 for taken_s in rounds]
        spread = f"({min(at_ms):.1f} to {max(at_ms):.1f})"
        told.append(f"p{share * 100:.0f} {statistics.median(at_ms):.1f} ms {spread}")
    print(f"{name:24} {'   '.join(told)}   {len(rounds)} rounds of {len(rounds[0])}")


def _percentile(taken_s: Sequence[float], share: float) -> float:
    ordered = sorted(taken_s)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def outbound(platform: Platform, texts: int, pause_s: float) -> list[float]:
    """Seconds from the call's first octet to the SMSC's record of the PDU."""
    client = platform.client()
    called: dict[str, float] = {}
    this_round = time.time_ns()
    for number in range(texts):
        text = f"Latency {number} {this_round}"
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
    options.add_argument("--texts", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--pause", type=float, default=0.05, help="seconds between two texts")
    chosen = options.parse_args()
    print(machine())
    with serving() as platform:
        out = [outbound(platform, chosen.texts, chosen.pause) for _ in range(chosen.rounds)]
        report("API call to PDU", out)
        back = [inbound(platform, chosen.texts, chosen.pause) for _ in range(chosen.rounds)]
        report("inbound PDU to webhook", back)


if __name__ == "__main__":
    main()
