"""A running Viesti, a client of its API, its handsets, and an endpoint that hears its webhooks."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from standardwebhooks import Webhook

T = TypeVar("T")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PATIENCE_S = 20.0


def until(look: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """What ``look`` gives once it gives anything true."""
    deadline = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"did not come about: {what}"
        time.sleep(0.05)


@dataclass
class Account:
    """A client of the v1 API with one account's credentials."""

    base: str
    account_id: str
    client_id: str
    client_secret: str
    sender: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def __post_init__(self) -> None:
        answer = self.http.post(
            f"{self.base}/oauth2/token",
            json={
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "client_secret": self.client_secret,
            },
        )
        assert answer.status_code == 200, answer.text
        self.http.headers["authorization"] = f"bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        url = f"{self.base}/v1/accounts/{self.account_id}/{path}"
        if body is not None:
            options["json"] = body
        return self.http.request(method, url, **options)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def send(self, mobile: str, text: str, **more: Any) -> dict[str, Any]:
        """One text; the message that the answer lists."""
        answer = self.call(
            "POST", "messages", {"contacts": [{"mobile": mobile}], "template": text, **more}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["messages"][0]

    def message(self, message_id: str) -> dict[str, Any]:
        return self.get(f"messages/{message_id}")

    def wait_status(self, message_id: str, *statuses: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.message(message_id)
            return found if found["status"] in statuses else None

        return until(look, f"{message_id} {' or '.join(statuses)}")

    def inbound(self, text: str) -> list[dict[str, Any]]:
        return [
            m for m in self.get("messages?limit=100") if not m["outgoing"] and m["message"] == text
        ]


@dataclass
class Handsets:
    """The simulator's control API."""

    base: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    def reply(self, handset: str, to: str, text: str) -> None:
        answer = self.http.post(
            f"{self.base}/handsets/{handset}/messages", json={"to": to, "text": text}
        )
        assert answer.status_code < 300, answer.text

    def texts(self, handset: str) -> list[str]:
        """What the handset shows as received, oldest first."""
        found = self.http.get(f"{self.base}/handsets/{handset}").json()["texts"]
        return [entry["text"] for entry in found if entry["direction"] == "received"]

    def submits_to(self, handset: str) -> list[dict[str, Any]]:
        """The submit_sm PDUs to ``handset`` that the network's log still holds."""
        query = {"command": "submit_sm", "destination": f"+{handset.lstrip('+')}", "limit": 1000}
        return self.http.get(f"{self.base}/log", params=query).json()["entries"]


class Receiver:
    """A webhook endpoint on loopback that checks each signature."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.secret = ""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.secret:
                    Webhook(receiver.secret).verify(body, dict(self.headers.items()))
                receiver.ids.append(self.headers["webhook-id"])
                receiver.events.append(json.loads(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                return None

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?key=a%2Fb"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, event_type: str) -> list[dict[str, Any]]:
        return [event["payload"] for event in self.events if event["eventType"] == event_type]
