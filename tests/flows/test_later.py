"""Sends for later over a whole running platform: by name, by filter, and taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.flows.rig import Account, Handsets, Receiver, until


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def send(account: Account, **body: Any) -> dict[str, Any]:
    answer = account.call("POST", "messages", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_texts_for_later_leave_at_their_time_and_canceled_ones_never(
    account: Account, handsets: Handsets, receiver: Receiver
) -> None:
    account.call(
        "POST", "webhooks", {"url": receiver.url, "eventTypes": ["message-status"]}
    ).raise_for_status()
    phones = [f"+1347555{n}" for n in range(8101, 8104)]
    people = [{"mobile": phone, "tags": ["later"]} for phone in phones]
    account.call("POST", "contacts", people).raise_for_status()
    by_filter = send(account, filters={"tags": ["later"]}, template="By filter", sendAt=in_s(2))
    assert account.get(f"jobs/{by_filter['jobId']}")["status"] == "scheduled"
    soon = send(account, contacts=people[:1], template="Soon", sendAt=in_s(2))["messages"][0]
    far = send(account, contacts=people[1:2], template="Far", sendAt=in_s(3600))["messages"][0]
    assert (soon["status"], far["status"]) == ("scheduled", "scheduled")
    assert handsets.texts(phones[0]) == []

    canceled = account.call("DELETE", f"messages/{far['id']}").json()["data"]
    assert canceled["status"] == "canceled"
    until(
        lambda: [e for e in receiver.of("message-status") if e["status"] == "canceled"],
        "the event of the cancellation",
    )
    account.wait_status(soon["id"], "delivered")
    until(lambda: account.get(f"jobs/{by_filter['jobId']}")["delivered"] == 3, "the filter's texts")
    assert account.call("DELETE", f"messages/{soon['id']}").json()["error"]["code"] == "MSG-100"
    assert sorted(handsets.texts(phones[0])) == ["By filter", "Soon"]
    assert handsets.texts(phones[1]) == ["By filter"]
    jobs = account.get("jobs")
    assert [job["status"] for job in jobs] == ["complete", "complete", "complete"]
