"""Subscribing, listing and ending webhooks, each within its account."""

from __future__ import annotations

import base64
from uuid import UUID

import psycopg
import pytest

from viesti.domain.webhook_endpoints.history import (
    count_backlog,
    list_attempts,
    replay_dead,
    replay_event,
)
from viesti.domain.webhook_endpoints.models import (
    MAX_WEBHOOKS,
    BadEventType,
    BadUrl,
    TooManyWebhooks,
    WebhookNotFound,
    webhook_view,
)
from viesti.domain.webhook_endpoints.service import (
    Subscribed,
    disable_webhook,
    find_webhook,
    get_webhook,
    list_webhooks,
    subscribe,
    unsubscribe,
)
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey

KEY = PlatformKey([bytes(range(32))])
URL = "https://example.org/hook?token=a%2Fb+c&x=%5B1%5D"


def make(
    conn: psycopg.Connection,
    account_id: UUID,
    url: str = URL,
    kinds: tuple[str, ...] = ("message-sent",),
    *,
    allow_private: bool = False,
) -> Subscribed:
    return subscribe(conn, KEY, account_id, url, kinds, utc_now(), allow_private=allow_private)


def test_the_url_is_kept_as_given_and_the_secret_shown(conn: psycopg.Connection) -> None:
    account = new_id()
    made = make(conn, account, kinds=("message-received", "message-status", "message-received"))
    view = webhook_view(made.webhook, made.secret)
    assert view["url"] == view["destination"] == URL
    assert view["eventTypes"] == ["message-received", "message-status"]
    assert len(base64.b64decode(view["secret"].removeprefix("whsec_"))) == 32
    assert "secret" not in webhook_view(get_webhook(conn, account, URL))
    stored = conn.execute("SELECT secret_encrypted FROM webhooks").fetchone()
    assert stored is not None
    assert base64.b64decode(made.secret.removeprefix("whsec_")) not in stored[0]


def test_all_twelve_event_types_are_taken(conn: psycopg.Connection) -> None:
    made = make(conn, new_id(), kinds=tuple(kind.value for kind in EventType))
    assert set(made.webhook.event_types) == set(EventType)


def test_subscribing_a_url_again_changes_what_it_hears_and_keeps_its_secret(
    conn: psycopg.Connection,
) -> None:
    account = new_id()
    first = make(conn, account)
    assert disable_webhook(conn, account, first.webhook.id, "gone", utc_now())
    assert not disable_webhook(conn, account, first.webhook.id, "gone", utc_now())
    again = make(conn, account, kinds=("contact-opt-out",))
    assert again.webhook.id == first.webhook.id
    assert again.secret == first.secret
    assert again.webhook.event_types == (EventType.CONTACT_OPT_OUT,)
    assert again.webhook.disabled_at is None
    assert list_webhooks(conn, account).total_count == 1
    assert make(conn, new_id()).secret != first.secret


@pytest.mark.parametrize("kinds", [(), ("message-sent", "message-read"), ("Message-Sent",)])
def test_unknown_event_types_are_refused(conn: psycopg.Connection, kinds: tuple[str, ...]) -> None:
    with pytest.raises(BadEventType) as refused:
        make(conn, new_id(), kinds=kinds)
    assert refused.value.code == "WEBH-003"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://10.0.0.5/", "ftp://x.org/", "x"])
def test_urls_that_lead_inside_are_refused(conn: psycopg.Connection, url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        make(conn, new_id(), url)
    assert refused.value.code == "WEBH-002"


def test_loopback_is_taken_where_the_platform_allows_it(conn: psycopg.Connection) -> None:
    made = make(conn, new_id(), "http://127.0.0.1:9000/x", allow_private=True)
    assert made.webhook.url == "http://127.0.0.1:9000/x"


def test_an_account_has_no_more_webhooks_than_it_may(conn: psycopg.Connection) -> None:
    account = new_id()
    for number in range(MAX_WEBHOOKS):
        make(conn, account, f"https://example.org/{number}")
    with pytest.raises(TooManyWebhooks):
        make(conn, account, "https://example.org/another")
    make(conn, account, "https://example.org/0")
    make(conn, new_id(), "https://example.org/another")
    page = list_webhooks(conn, account, offset=98, limit=10)
    assert page.total_count == MAX_WEBHOOKS
    assert [hook.url for hook in page.webhooks] == [
        "https://example.org/98",
        "https://example.org/99",
    ]


@pytest.mark.parametrize("by", ["url", "id"])
def test_unsubscribing_drops_the_webhook_and_what_was_on_its_way(
    conn: psycopg.Connection, by: str
) -> None:
    account = new_id()
    made = make(conn, account)
    kept = make(conn, account, "https://example.org/kept")
    record_events(conn, [NewEvent(account, EventType.MESSAGE_SENT)] * 3, utc_now())
    unsubscribe(conn, account, URL if by == "url" else str(made.webhook.id))
    assert find_webhook(conn, account, URL) is None
    assert count_backlog(conn, account, made.webhook.id).due == 0
    assert count_backlog(conn, account, kept.webhook.id).due == 3
    with pytest.raises(WebhookNotFound) as missing:
        unsubscribe(conn, account, URL)
    assert missing.value.code == "WEBH-001"


def test_another_accounts_webhook_looks_as_if_it_were_not_there(
    conn: psycopg.Connection,
) -> None:
    owner, stranger = new_id(), new_id()
    made = make(conn, owner)
    record_events(conn, [NewEvent(owner, EventType.MESSAGE_SENT)], utc_now())
    found = conn.execute("SELECT id FROM events").fetchone()
    assert found is not None
    for name in (URL, str(made.webhook.id)):
        assert find_webhook(conn, stranger, name) is None
        with pytest.raises(WebhookNotFound):
            unsubscribe(conn, stranger, name)
    assert list_webhooks(conn, stranger).webhooks == []
    assert list_attempts(conn, stranger, made.webhook.id) == []
    assert not disable_webhook(conn, stranger, made.webhook.id, "", utc_now())
    assert not replay_event(conn, stranger, made.webhook.id, found[0], utc_now())
    assert replay_dead(conn, stranger, made.webhook.id, utc_now()) == 0
    assert count_backlog(conn, owner, made.webhook.id).due == 1


def test_a_replay_begins_the_schedule_anew(conn: psycopg.Connection) -> None:
    account = new_id()
    made = make(conn, account)
    record_events(conn, [NewEvent(account, EventType.MESSAGE_SENT)], utc_now())
    conn.execute("UPDATE webhook_deliveries SET state = 'dead', attempts = 10")
    assert replay_dead(conn, account, made.webhook.id, utc_now()) == 1
    row = conn.execute("SELECT state, attempts, event_id FROM webhook_deliveries").fetchone()
    assert row is not None
    assert row[:2] == ("due", 0)
    conn.execute("DELETE FROM webhook_deliveries")
    assert replay_event(conn, account, made.webhook.id, row[2], utc_now())
    assert not replay_event(conn, account, made.webhook.id, new_id(), utc_now())
    assert count_backlog(conn, account, made.webhook.id).due == 1
