"""Acceptance scenarios of the product, over a whole running platform."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.flows.conftest import Platform
from tests.flows.rig import Account, Handsets, Receiver, until
from viesti.db.embedded import Layout

STOP_WORDS = ("STOP", "cancel", "End", "OPTOUT", "opt-out", "Quit", "REVOKE", "unsubscribe")


def test_1_a_first_text_within_five_minutes(platform: Platform, handsets: Handsets) -> None:
    made = platform.account()
    secret = {
        "grant_type": "client_credentials",
        "client_id": made.client_id,
        "client_secret": made.client_secret,
    }
    for answer in (
        httpx.post(f"{platform.base}/oauth2/token", json=secret),
        httpx.post(f"{platform.base}/oauth2/token", data=secret),
    ):
        assert answer.status_code == 200
        assert {"access_token", "token_type"} <= set(answer.json())
    wrong = httpx.post(f"{platform.base}/oauth2/token", json=secret | {"client_secret": "no"})
    assert wrong.status_code == 401
    assert wrong.json()["success"] is False

    answer = made.call(
        "POST",
        "messages",
        {"contacts": [{"mobile": {"number": "+13475550121"}}], "template": "Hello"},
    )
    body = answer.json()
    assert answer.status_code == 200
    assert body["success"] is True
    assert len(body["data"]["messages"]) == 1
    assert body["data"]["queued"] == 1
    assert body["data"]["estimatedPrice"] == 0.032
    assert body["data"]["jobId"]
    made.wait_status(body["data"]["messages"][0]["id"], "delivered")
    assert len(made.get("contacts")) == 1
    assert len(handsets.submits_to("13475550121")) == 1


def test_2_a_thousand_personalised_texts_in_one_call(account: Account, handsets: Handsets) -> None:
    names = ["O'Brien", "Zoë", "<b>", ""]
    contacts = [
        {
            "mobile": {"number": f"+1212555{index:04d}", "country": "US"},
            "firstName": names[index % 4] if index < 4 else f"N{index}",
            "attributes": {"plan": "gold"},
        }
        for index in range(1_000)
    ]
    # Not every number of the range is valid: those that are not come back in ``invalid``.
    answer = account.call(
        "POST",
        "messages",
        {"contacts": contacts, "template": "Hi {{{contact.firstName}}}, plan {{plan}}"},
    ).json()["data"]
    assert answer["requested"] == 1_000
    assert answer["valid"] + len(answer["invalid"]) == 1_000
    texts = {m["contact"].get("firstName", ""): m for m in answer["messages"]}
    assert texts["O'Brien"]["message"] == "Hi O'Brien, plan gold"
    assert texts["<b>"]["message"] == "Hi <b>, plan gold"
    assert texts[""]["message"] == "Hi , plan gold"
    assert texts["Zoë"]["message"] == "Hi Zoë, plan gold"
    assert texts["Zoë"]["segments"] == 1
    total = sum(round(m["price"] * 1000) for m in answer["messages"])
    assert total == sum(m["segments"] * 32 for m in answer["messages"])
    assert round(answer["estimatedPrice"] * 1000) == total
    until(
        lambda: all(
            m["status"] == "delivered"
            for offset in range(0, len(answer["messages"]), 100)
            for m in account.get(f"messages?limit=100&offset={offset}")
        ),
        "all delivered",
        60,
    )
    # Of these four the one whose letter is outside GSM-7 alone is UCS-2 on the wire (8).
    codings = {
        name: {p["data_coding"] for p in handsets.submits_to(m["contact"]["mobile"]["number"])}
        for name, m in texts.items()
        if name in names
    }
    assert codings == {"O'Brien": {0}, "Zoë": {8}, "<b>": {0}, "": {0}}


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 307, 3),
        ("€" * 81, 2),
        ("ж" * 71, 2),
        ("[" * 85 + "😀", 2),
        ("a" * 152 + "€" + "b" * 152, 3),
        ("ж" * 66 + "😀" + "ж" * 66, 3),
    ],
    ids=["160", "161", "307", "euros", "cyrillic", "brackets", "split euro", "split emoji"],
)
def test_3_segments_price_and_pdus_agree(
    account: Account, handsets: Handsets, text: str, segments: int
) -> None:
    handset = f"1347555{segments:02d}{len(text) % 100:02d}"
    handset = "+13475550130"
    before = len(handsets.submits_to(handset))
    sent = account.send(handset, text)
    delivered = account.wait_status(sent["id"], "delivered")
    assert sent["segments"] == delivered["segments"] == segments
    assert round(delivered["price"] * 1000) == segments * 32
    assert len(handsets.submits_to(handset)) - before == segments
    assert handsets.texts(handset)[-1] == text


def test_6_stop_help_and_start(
    make_account: Callable[..., Account], account: Account, handsets: Handsets, receiver: Receiver
) -> None:
    account.call(
        "POST",
        "webhooks",
        {
            "url": receiver.url,
            "eventTypes": ["contact-opt-out", "contact-opt-in", "message-received"],
        },
    )
    phone = "+13475550140"

    def shown() -> list[str]:
        return [text for text in handsets.texts(phone) if "Acme" in text]

    first = account.send(phone, "Hello")
    account.wait_status(first["id"], "delivered")
    for harmless in ("please stop", "STOPPED"):
        handsets.reply(phone, account.sender, harmless)
        until(lambda text=harmless: account.inbound(text), harmless)
    assert "blocked" not in account.get("contacts")[0]

    handsets.reply(phone, account.sender, " Stop ")
    until(lambda: "blocked" in account.get("contacts")[0], "the block")
    until(lambda: len(shown()) == 1, "the confirmation")
    handsets.reply(phone, account.sender, "STOP")
    until(lambda: account.inbound("STOP"), "the second STOP")
    refused = account.send(phone, "Are you there?")
    assert (refused["status"], refused["error"]["code"], refused["price"]) == (
        "error",
        "CONT-010",
        0,
    )

    handsets.reply(phone, account.sender, "help")
    until(lambda: len(shown()) == 2, "the answer to HELP")
    handsets.reply(phone, account.sender, "Start")
    until(lambda: "blocked" not in account.get("contacts")[0], "the return")
    again = account.send(phone, "Welcome back")
    account.wait_status(again["id"], "delivered")
    until(lambda: receiver.of("contact-opt-in"), "the opt-in event")
    assert len(receiver.of("contact-opt-out")) == 1
    assert len(receiver.of("contact-opt-in")) == 1
    # One confirmation for STOP, one for START, one answer to HELP: no more.
    until(lambda: len(shown()) == 3, "the confirmation of START")


def test_6_each_word_blocks_whatever_its_case(account: Account, handsets: Handsets) -> None:
    for index, word in enumerate(STOP_WORDS):
        handsets.reply(f"+134755501{60 + index}", account.sender, word)
    until(
        lambda: sum("blocked" in c for c in account.get("contacts")) == len(STOP_WORDS),
        "all blocked",
    )


def test_7_an_opt_out_survives_whatever_is_done_to_the_contact(
    account: Account, handsets: Handsets
) -> None:
    phone = "+13475550150"
    account.send(phone, "Hello")
    handsets.reply(phone, account.sender, "STOP")
    contact = until(lambda: [c for c in account.get("contacts") if "blocked" in c], "the block")[0]

    def is_refused(text: str) -> bool:
        sent = account.send(phone, text)
        return sent["status"] == "error" and sent["error"]["code"] == "CONT-010"

    account.call("PUT", f"contacts/{contact['id']}", contact | {"blocked": None, "optIn": "now"})
    assert is_refused("after a PUT")
    account.call("POST", "contacts?mergeStrategy=remove", {"mobile": {"number": phone}})
    assert is_refused("after an import")
    assert account.call("DELETE", f"contacts/{contact['id']}").status_code == 200
    account.call("POST", "contacts", {"mobile": {"number": phone}, "firstName": "New"})
    assert is_refused("after a new start")
    # The confirmation is the only text after the first.
    assert len(handsets.submits_to(phone)) <= 2


def test_8_the_duplicate_guard_and_the_idempotency_key(
    account: Account, handsets: Handsets
) -> None:
    phone = "+13475550151"
    first = account.send(phone, "Your table is ready")
    account.wait_status(first["id"], "delivered")
    second = account.send(phone, "Your table is ready")
    assert (second["status"], second["error"]["code"], second["price"]) == ("error", "MSG-024", 0)
    assert account.send(phone, "Your table is free")["status"] == "queued"
    handsets.reply(phone, account.sender, "thanks")
    until(lambda: account.inbound("thanks"), "the reply")
    assert account.send(phone, "Your table is ready")["status"] == "queued"

    body = {"contacts": [{"mobile": phone}], "template": "Once only"}
    answers = [
        account.call("POST", "messages", body, headers={"Idempotency-Key": "k1"}).json()["data"]
        for _ in range(2)
    ]
    assert answers[0]["jobId"] == answers[1]["jobId"]
    assert [m["id"] for m in answers[0]["messages"]] == [m["id"] for m in answers[1]["messages"]]
    other = account.call(
        "POST", "messages", body | {"template": "Other"}, headers={"Idempotency-Key": "k1"}
    )
    assert 400 <= other.status_code < 500


def test_9_the_balance_never_goes_below_zero(
    make_account: Callable[..., Account], platform: Platform, handsets: Handsets
) -> None:
    poor = make_account("--balance", "0.13")

    def send(index: int) -> dict[str, Any]:
        return poor.send(f"+13475550{452 + index}", f"text {index}")

    with ThreadPoolExecutor(10) as threads:
        sent = list(threads.map(send, range(10)))
    assert sorted(m["status"] for m in sent) == ["queued"] * 4 + ["suspended"] * 6
    assert {m["error"]["code"] for m in sent if m["status"] == "suspended"} == {"ACCT-006"}
    for message in sent:
        if message["status"] == "queued":
            poor.wait_status(message["id"], "delivered")
    assert _balance(platform, poor) == (2_000, 0)  # of 0.13 dollars 0.128 are spent
    assert sum(len(handsets.texts(m["contact"]["mobile"]["number"])) for m in sent) == 4
    platform.command("account", "top-up", "--account", poor.account_id, "--amount", "10")
    for message in sent:
        poor.wait_status(message["id"], "delivered")
    assert [len(handsets.texts(m["contact"]["mobile"]["number"])) for m in sent] == [1] * 10
    assert _balance(platform, poor) == (10_000_000 + 130_000 - 320_000, 0)


def _balance(platform: Platform, account: Account) -> tuple[int, int]:
    """Micros that are available and reserved."""
    with psycopg.connect(Layout(platform.settings.data_dir.absolute()).dsn()) as conn:
        row = conn.execute(
            "SELECT available_micros, reserved_micros FROM balances WHERE account_id = %s",
            (account.account_id,),
        ).fetchone()
    assert row is not None
    return row


def test_10_threads_belong_to_a_sender_and_a_contact(
    account: Account, platform: Platform, handsets: Handsets, receiver: Receiver
) -> None:
    other = platform.command(
        "sender",
        "add",
        "--account",
        account.account_id,
        "--number",
        "+12025550177",
        "--carrier",
        "simulator",
    )
    assert other
    account.call(
        "POST",
        "webhooks",
        {"url": receiver.url, "eventTypes": ["conversation-started", "conversation-closed"]},
    )
    phone = "+13475550170"
    handsets.reply(phone, account.sender, "to A")
    handsets.reply(phone, account.sender, "to A again")
    handsets.reply(phone, "+12025550177", "to B")
    until(lambda: len(account.get("messages")) == 3, "three texts")
    threads = {t["phoneNumber"]["number"]: t for t in account.get("conversations")}
    assert set(threads) == {account.sender, "+12025550177"}
    assert len(account.get("contacts")) == 1

    for number, thread in threads.items():
        answer = account.call(
            "POST", "messages", {"conversations": [thread["id"]], "template": f"From {number}"}
        ).json()["data"]
        assert answer["messages"][0]["phoneNumber"] == number

    closed = account.call("PUT", f"conversations/{threads[account.sender]['id']}/close")
    assert closed.status_code == 200
    assert closed.json()["data"]["closed"]
    until(lambda: receiver.of("conversation-closed"), "the close event")
    handsets.reply(phone, account.sender, "A once more")
    until(lambda: account.inbound("A once more"), "the reply")
    assert len(account.get("conversations")) == 3
    until(lambda: len(receiver.of("conversation-started")) == 3, "the new thread's event")
    old = account.get(f"messages?conversationId={threads[account.sender]['id']}")
    assert {m["message"] for m in old} >= {"to A", "to A again"}


def test_the_first_text_carries_the_notice_and_only_the_first(
    make_account: Callable[..., Account], handsets: Handsets
) -> None:
    careful = make_account("--notice", "on")
    first = careful.send("+13475550181", "Your code is 1234")
    second = careful.send("+13475550181", "Your code is 5678")
    careful.wait_status(second["id"], "delivered")
    assert "Acme" in first["message"]
    assert "STOP" in first["message"]
    assert second["message"] == "Your code is 5678"
    assert handsets.texts("+13475550181") == [first["message"], second["message"]]


def test_bulk_waits_for_the_morning_where_quiet_hours_are_on(
    make_account: Callable[..., Account],
) -> None:
    calm = make_account("--quiet-hours", "on")
    # Somewhere on earth it is night: of two far zones one is outside 8 to 21 at any time.
    body = {
        "contacts": [{"mobile": "+16505550182"}, {"mobile": "+61412345678"}],
        "template": "Offer",
    }
    sent = calm.call("POST", "messages", body).json()["data"]["messages"]
    assert "scheduled" in {m["status"] for m in sent}
    held = next(m for m in sent if m["status"] == "scheduled")
    assert held["sendAt"] > held["created"]["at"]
    assert calm.send("+16505550183", "A single text is no campaign")["status"] == "queued"
