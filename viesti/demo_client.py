"""A small client of the API and of the handset page, for the demo of the first start."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from viesti.domain.accounts.models import NewCredential
from viesti.kit.config import Settings

TIMEOUT_S = 10.0
POLL_S = 0.1
DELIVERY_LIMIT_S = 60.0


class DemoFailed(Exception):
    """A step did not end as it should; the message says which and how."""


class DemoClient:
    def __init__(self, settings: Settings) -> None:
        # Not public_url: what stands between may not be up yet.
        host = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
        self._api = (
            f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
        )
        self._handsets = settings.handsets_url
        self._account = ""
        self._token = ""

    def is_ready(self) -> bool:
        """Whether the API says that all it needs is there."""
        try:
            with urllib.request.urlopen(f"{self._api}/ready", timeout=TIMEOUT_S) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:  # URLError and HTTPError are among its children
            return False

    def log_in(self, credential: NewCredential) -> None:
        answer = self._call(
            f"{self._api}/oauth2/token",
            {
                "grant_type": "client_credentials",
                "client_id": str(credential.client_id),
                "client_secret": credential.client_secret,
            },
        )
        self._token = answer["access_token"]
        self._account = f"{self._api}/v1/accounts/{credential.account_id}"

    def send(self, number: str, text: str) -> dict[str, Any]:
        """The message that the API made of it."""
        answer = self._call(
            f"{self._account}/messages",
            {"contacts": [{"mobile": {"number": number, "country": "US"}}], "template": text},
        )
        messages: list[dict[str, Any]] = answer["data"]["messages"]
        if not messages:
            raise DemoFailed("the API took no message")
        return messages[0]

    def wait_for_status(
        self, message: dict[str, Any], wanted: str, stopping: Callable[[], bool]
    ) -> str:
        """Poll until the message has that status. Raises DemoFailed if it cannot any more."""
        status = ""

        def arrived() -> str | None:
            nonlocal status
            status = self._call(f"{self._account}/messages/{message['id']}")["data"]["status"]
            if status in ("error", "invalid", "undelivered"):
                raise DemoFailed(f"its status is {status}")
            return status if status == wanted else None

        return _poll(arrived, lambda: f"its status stayed {status}", stopping)

    def reply_from(self, number: str, sender: str, text: str) -> None:
        """Have the simulated handset write."""
        path = urllib.parse.quote(number)
        self._call(f"{self._handsets}/handsets/{path}/messages", {"to": sender, "text": text})

    def wait_for_reply(self, message: dict[str, Any], stopping: Callable[[], bool]) -> str:
        """The text that came back in the conversation of ``message``."""
        query = urllib.parse.urlencode({"conversationId": message["conversation"]["id"]})

        def arrived() -> str | None:
            listed = self._call(f"{self._account}/messages?{query}")["data"]
            return next((found["message"] for found in listed if not found["outgoing"]), None)

        return _poll(arrived, lambda: "no reply came", stopping)

    def _call(self, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token and url.startswith(self._api):
            headers["Authorization"] = f"Bearer {self._token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            path = urllib.parse.urlsplit(url).path
            raise DemoFailed(f"{path} answered {error.code}") from error
        except OSError as error:
            raise DemoFailed(f"{urllib.parse.urlsplit(url).netloc} does not answer") from error


def _poll(
    look: Callable[[], str | None], complaint: Callable[[], str], stopping: Callable[[], bool]
) -> str:
    deadline = time.monotonic() + DELIVERY_LIMIT_S
    while time.monotonic() < deadline and not stopping():
        if (found := look()) is not None:
            return found
        time.sleep(POLL_S)
    raise DemoFailed(complaint())
