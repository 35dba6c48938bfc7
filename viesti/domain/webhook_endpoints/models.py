"""A webhook as stored and as clients see it; used by its service, the API and the hub."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from viesti.events.catalogue import EventType
from viesti.kit.clock import iso
from viesti.kit.errors import Conflict, Invalid, NotFound

# Standard Webhooks 1.0, "Signature scheme": secrets are 24 to 64 random bytes.
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105
# What ``PlatformKey`` keeps them under.
SECRET_PURPOSE = "webhook-secret"  # noqa: S105
# A bound of our own: each event of an account is written once per webhook that hears it.
MAX_WEBHOOKS = 100


class WebhookNotFound(NotFound):
    default_code = "WEBH-001"


class BadUrl(Invalid):
    default_code = "WEBH-002"


class BadEventType(Invalid):
    default_code = "WEBH-003"


class TooManyWebhooks(Conflict):
    default_code = "WEBH-004"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A subscription; ``url`` is byte for byte what the client gave."""

    account_id: UUID
    id: UUID
    url: str
    event_types: tuple[EventType, ...]
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None


def new_secret() -> bytes:
    """Fresh key bytes, as ``secret_text`` shows them."""
    return secrets.token_bytes(SECRET_BYTES)


def secret_text(key: bytes) -> str:
    """The secret as receivers' libraries take it: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_view(webhook: Webhook, secret: str | None = None) -> dict[str, Any]:
    """The schema ``Webhook`` in both its published forms; ``secret`` only when subscribing."""
    view: dict[str, Any] = {
        "id": str(webhook.id),
        "type": "webhook",
        "url": webhook.url,
        "destination": webhook.url,
        "eventTypes": [kind.value for kind in webhook.event_types],
        "created": {"at": iso(webhook.created_at)},
        "updated": {"at": iso(webhook.updated_at)},
    }
    if webhook.disabled_at is not None:
        view["disabled"] = iso(webhook.disabled_at)
        view["disabledReason"] = webhook.disabled_reason or ""
    if secret is not None:
        view["secret"] = secret
    return view
