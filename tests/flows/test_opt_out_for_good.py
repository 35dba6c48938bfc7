"""Scenario 7: an opt-out cannot be lost, whatever is done to the contact and to what waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.conftest import Platform
from tests.flows.rig import Account, Handsets, until

PHONE = "+13475558301"


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def contact_of(account: Account) -> dict[str, Any]:
    (found,) = account.get(f"contacts?mobile={PHONE[1:]}")
    return found


def send(account: Account, **body: Any) -> dict[str, Any]:
    answer = account.call("POST", "messages", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def held_back(account: Account, handsets: Handsets) -> tuple[str, str]:
    """A campaign to the contact that was paused before its text left, and its run's job."""
    for n in range(5):
        body = {"template": f"Sale {n}", "filters": {"tags": ["all"]}}
        campaign = account.call("POST", "campaigns", body).json()["data"]["id"]
        for what in ("execute", "pause"):
            assert account.call("POST", f"campaigns/{campaign}/{what}").status_code == 200
        # What began to leave before the pause arrives within this time.
        time.sleep(1)
        if f"Sale {n}" not in handsets.texts(PHONE):
            return campaign, account.get(f"campaigns/{campaign}")["lastJob"]["id"]
    raise AssertionError("each text left before its pause")


def is_refused(message: dict[str, Any]) -> bool:
    told = (message["status"], message.get("error", {}).get("code"), message["price"])
    return told == ("error", "CONT-010", 0)


@pytest.mark.slow
def test_7_no_text_leaves_for_who_opted_out_until_the_handset_says_start(
    account: Account, handsets: Handsets
) -> None:
    hello = account.send(PHONE, "Hello")
    account.wait_status(hello["id"], "delivered")
    account.call("PUT", f"contacts/{contact_of(account)['id']}", {"tags": ["all"]})

    # What waits when the STOP comes: a campaign's text, one for later, a filter for later.
    campaign, run = held_back(account, handsets)
    before = len(handsets.submits_to(PHONE))
    later = send(account, contacts=[{"mobile": PHONE}], template="Later", sendAt=in_s(10))
    by_filter = send(account, filters={"tags": ["all"]}, template="By tag", sendAt=in_s(10))
    assert later["messages"][0]["status"] == "scheduled"
    assert account.get(f"jobs/{by_filter['jobId']}")["status"] == "scheduled"

    handsets.reply(PHONE, account.sender, "STOP")
    until(lambda: "blocked" in contact_of(account), "the block")
    until(lambda: len(handsets.submits_to(PHONE)) == before + 1, "the confirmation")
    account.call("POST", f"campaigns/{campaign}/resume")

    # Whatever is done to the contact.
    assert is_refused(account.send(PHONE, "At once"))
    contact = contact_of(account)
    path = f"contacts/{contact['id']}"
    for body in ({"blocked": None}, {"blocked": ""}, contact | {"blocked": None, "optIn": in_s(0)}):
        assert account.call("PUT", path, body).status_code == 200
        assert contact_of(account)["blocked"]
        assert is_refused(account.send(PHONE, f"After a PUT of {len(body)}"))
    for strategy in ("append", "core", "remove"):
        for kind, content in (
            ("text/csv", f"Mobile,Blocked,optIn,First Name\n{PHONE},,2020-01-01,Ann\n"),
            ("application/json", f'{{"mobile": "{PHONE}", "blocked": null, "optIn": "now"}}'),
        ):
            answer = account.call(
                "POST",
                f"contacts?mergeStrategy={strategy}",
                content=content,
                headers={"content-type": kind},
            )
            assert answer.status_code == 201, answer.text
            assert contact_of(account)["blocked"]
            assert is_refused(account.send(PHONE, f"After {kind} by {strategy}"))
    for again in ({"mobile": PHONE}, {"mobile": {"number": PHONE}, "firstName": "New"}):
        assert account.call("DELETE", f"contacts/{contact_of(account)['id']}").status_code == 200
        assert account.call("POST", "contacts", again).status_code == 201
        assert contact_of(account)["blocked"]
        assert is_refused(account.send(PHONE, f"After a new start with {len(again)}"))
    account.call("PUT", f"contacts/{contact_of(account)['id']}", {"tags": ["all"]})

    # What waited ends as refused; what is looked up only now is refused too.
    def waited() -> list[dict[str, Any]]:
        jobs = (run, later["jobId"], by_filter["jobId"])
        found = [text for job in jobs for text in account.get(f"messages?jobId={job}")]
        return found if len(found) >= 3 and all(map(is_refused, found)) else []

    until(waited, "the end of what waited")
    assert len(waited()) == 3
    # What left before the STOP, and its confirmation: nothing else ever left.
    assert len(handsets.submits_to(PHONE)) == before + 1

    handsets.reply(PHONE, account.sender, "START")
    until(lambda: "blocked" not in contact_of(account), "the return")
    back = account.send(PHONE, "Welcome back")
    account.wait_status(back["id"], "delivered")
    until(lambda: len(handsets.submits_to(PHONE)) == before + 3, "the confirmation of START")
    assert "Welcome back" in handsets.texts(PHONE)


def test_7_a_text_that_waits_for_credit_is_not_sent_by_a_top_up_after_a_stop(
    make_account: Callable[..., Account], platform: Platform, handsets: Handsets
) -> None:
    phone = "+13475558302"
    poor = make_account("--balance", "0")
    waiting = poor.send(phone, "Without credit")
    assert waiting["status"] == "suspended"
    handsets.reply(phone, poor.sender, "STOP")
    until(lambda: "blocked" in poor.get(f"contacts?mobile={phone[1:]}")[0], "the block")
    platform.command("account", "top-up", "--account", poor.account_id, "--amount", "10")
    assert is_refused(poor.wait_status(waiting["id"], "error"))
    other = poor.send("+13475558303", "A text that may leave")
    poor.wait_status(other["id"], "delivered")
    assert "Without credit" not in handsets.texts(phone)
