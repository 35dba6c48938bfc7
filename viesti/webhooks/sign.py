"""The headers that prove to a receiver who sent an event (Standard Webhooks 1.0)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook


class Signer:
    """Signs for one endpoint with its secret's key bytes."""

    def __init__(self, key: bytes) -> None:
        self._webhook = Webhook(key)

    def headers(self, event_id: UUID, at: datetime, body: str) -> dict[str, str]:
        """The request's headers: the id stays over retries, the time (UTC) is the attempt's."""
        webhook_id = str(event_id)
        return {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(webhook_id, at, body),
        }
