"""API -> SMPP -> receipt -> reply -> webhook, through separate processes."""

from __future__ import annotations

from tests.flows.rig import Account, Handsets, Receiver, until


def test_a_text_goes_out_is_delivered_and_the_reply_comes_back(
    account: Account, handsets: Handsets, receiver: Receiver
) -> None:
    subscribed = account.call(
        "POST",
        "webhooks",
        {
            "url": receiver.url,
            "eventTypes": [
                "message-sent",
                "message-status",
                "message-received",
                "conversation-started",
                "contact-created",
            ],
        },
    )
    assert subscribed.status_code == 200, subscribed.text
    receiver.secret = subscribed.json()["data"]["secret"]

    sent = account.send("+13475550111", "Hi {{firstName}}, see you at 3?", type="SMS")
    assert sent["status"] == "queued"
    delivered = account.wait_status(sent["id"], "delivered")
    assert delivered["message"] == "Hi , see you at 3?"
    assert handsets.texts("13475550111")[-1:] == ["Hi , see you at 3?"]

    handsets.reply("13475550111", account.sender, "Yes, see you")
    received = until(lambda: account.inbound("Yes, see you"), "the reply")[0]
    assert received["status"] == "received"
    assert received["conversation"]["id"] == sent["conversation"]["id"]
    threads = account.get("conversations")
    assert [thread["id"] for thread in threads] == [sent["conversation"]["id"]]
    assert threads[0]["lastMessage"]["id"] == received["id"]

    until(lambda: receiver.of("message-received"), "the webhook of the reply")
    heard = until(
        lambda: receiver.of("message-sent") and receiver.of("message-status") and receiver.events,
        "the webhooks of the text",
    )
    assert {event["accountId"] for event in heard} == {account.account_id}
    assert receiver.of("message-sent")[0]["id"] == sent["id"]
    assert receiver.of("message-sent")[0]["status"] == "sent"
    assert (
        receiver.of("message-status")[0] | {"status": "delivered", "id": sent["id"]}
        == (receiver.of("message-status")[0])
    )
    assert receiver.of("message-received")[0]["message"] == "Yes, see you"
    assert len(receiver.of("conversation-started")) == 1
    assert len(receiver.of("contact-created")) == 1
    assert len(set(receiver.ids)) == len(receiver.ids)


def test_unsubscribing_by_the_encoded_url_brings_silence(
    account: Account, receiver: Receiver
) -> None:
    from urllib.parse import quote

    account.call("POST", "webhooks", {"url": receiver.url, "eventTypes": ["message-sent"]})
    first = account.send("+13475550112", "one")
    until(lambda: receiver.of("message-sent"), "the first event")
    gone = account.call("DELETE", f"webhooks/{quote(receiver.url, safe='')}")
    assert gone.status_code == 204
    assert gone.content == b""
    assert account.get("webhooks") == []
    second = account.send("+13475550112", "two")
    account.wait_status(second["id"], "delivered")
    assert [event["id"] for event in receiver.of("message-sent")] == [first["id"]]
