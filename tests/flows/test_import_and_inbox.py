"""Scenario 5: a file of 100,000 rows is imported and nobody's conversation waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.rig import Account, Handsets, until

ROWS = 100_000


@pytest.mark.slow
def test_5_texts_come_and_go_while_a_large_file_is_imported(
    account: Account, handsets: Handsets
) -> None:
    rows = "".join(f"+1{2_122_000_000 + n},US,Name{n},Fall | Mover,gold\n" for n in range(ROWS))
    accepted = account.call(
        "POST",
        "contacts",
        content="Mobile,Country,First Name,Tags,Plan\n" + rows,
        headers={"content-type": "text/csv"},
        timeout=120,
    )
    assert accepted.status_code == 201, accepted.text
    path = f"imports/{accepted.json()['data']['jobId']}"
    talks = 0
    while True:
        state: dict[str, Any] = account.get(path)
        if state["status"] != "running":
            break
        phone = f"+13475558{400 + talks}"
        handsets.reply(phone, account.sender, f"Question {talks}")
        text = f"Question {talks}"
        (question,) = until(lambda text=text: account.inbound(text), text)
        answer = account.call(
            "POST",
            "messages",
            {"conversations": [question["conversation"]["id"]], "template": f"Answer {talks}"},
        ).json()["data"]["messages"][0]
        account.wait_status(answer["id"], "delivered")
        talks += 1
    # To and fro at least twice within the few seconds that the import takes.
    assert talks >= 2
    assert (state["status"], state["submitted"], state["inserted"], state["failed"]) == (
        "complete",
        ROWS,
        ROWS,
        0,
    )
    assert account.call("GET", "contacts?limit=1").json()["pagination"]["totalCount"] >= ROWS
