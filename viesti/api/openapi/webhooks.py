"""The operations on webhooks."""

from __future__ import annotations

from viesti.api.openapi.build import (
    ACCOUNT,
    Paths,
    answer,
    body,
    enum,
    fields,
    in_path,
    listed,
    many,
    operation,
    parameter,
    ref,
    text,
)
from viesti.api.openapi.examples import WEBHOOK, WEBHOOK_IN, done
from viesti.events.catalogue import EventType

_TAG = "webhooks"
_ACCOUNT_ID = parameter("accountId")

PATHS: Paths = {
    f"{ACCOUNT}/webhooks": {
        "get": listed("webhooks.fetchAll", _TAG, "List webhooks", "WebhooksResponse", WEBHOOK),
        "post": operation(
            "webhooks.subscribe",
            _TAG,
            "Subscribe a webhook",
            description=(
                "The answer holds the secret that deliveries are signed with. `callbackUrl` is"
                " read where `url` is absent. Whoever names no event types hears all."
            ),
            parameters=[_ACCOUNT_ID],
            request=body(
                fields(
                    {
                        "url": text("where events are posted to", format="uri"),
                        "callbackUrl": text("another name of url", format="uri"),
                        "eventTypes": many(enum(*[kind.value for kind in EventType])),
                    }
                ),
                WEBHOOK_IN,
            ),
            answers={"200": answer(ref("WebhookResponse"), done(WEBHOOK))},
            refusals=["WEBH-002", "WEBH-003", "WEBH-004", "GEN-415"],
        ),
    },
    f"{ACCOUNT}/webhooks/{{url}}": {
        "delete": operation(
            "webhooks.unsubscribe",
            _TAG,
            "End a webhook",
            parameters=[_ACCOUNT_ID, in_path("url", "the percent-encoded URL, or the id")],
            answers={"204": {"description": "success"}},
            refusals=["WEBH-001"],
        ),
    },
}
