"""Jobs over the API: sends by large filters, sends for later, and taking them back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.db.pool import connect
from viesti.domain.messages import recipients
from viesti.domain.messages.expansion import EXPANSION_CHANNEL, find_work, work_on
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings

Pool = ConnectionPool[psycopg.Connection]
NUMBER = "+13475550101"
GOLD = {"tags": ["gold"]}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three recipients are a job."""
    monkeypatch.setattr(recipients, "MAX_RECIPIENTS", 3)


def add_people(tenant: Tenant, count: int) -> None:
    people = [{"mobile": f"+1347555{n:04}", "tags": ["gold"]} for n in range(count)]
    assert tenant.post("/contacts", json=people).status_code == 201


def send(tenant: Tenant, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    answer = tenant.post("/messages", json={"template": "Hello", **body}, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def work(pool: Pool) -> None:
    with pool.connection() as conn:
        for account_id, job_id in find_work(conn, utc_now()):
            assert work_on(conn, account_id, job_id, utc_now()).done


def job_of(tenant: Tenant, data: dict[str, Any]) -> dict[str, Any]:
    return tenant.get(f"/jobs/{data['jobId']}").json()["data"]


@pytest.mark.usefixtures("few")
def test_a_large_filter_is_answered_with_a_job_that_fills_in_its_counts(
    tenant: Tenant, pool: Pool, settings: Settings
) -> None:
    add_people(tenant, 5)
    with connect(settings.database_url, "test", autocommit=True) as listening:
        listening.execute(f"LISTEN {EXPANSION_CHANNEL}")
        data = send(tenant, filters=GOLD)
        assert len(list(listening.notifies(timeout=5, stop_after=1))) == 1
    assert (data["requested"], data["valid"], data["queued"]) == (0, 0, 0)
    assert (data["invalid"], data["messages"], data["estimatedPrice"]) == ([], [], 0)
    assert job_of(tenant, data)["status"] == "running"
    work(pool)
    job = job_of(tenant, data)
    assert (job["requested"], job["valid"], job["queued"], job["price"]) == (5, 5, 5, 0.16)
    found = tenant.get(f"/messages?jobId={data['jobId']}").json()
    assert found["pagination"]["totalCount"] == 5


@pytest.mark.usefixtures("few")
def test_a_repeated_key_answers_the_same_job_and_expands_it_once(
    tenant: Tenant, pool: Pool
) -> None:
    add_people(tenant, 5)
    key = {"idempotency-key": "campaign-1"}
    first = send(tenant, key, filters=GOLD)
    work(pool)
    again = send(tenant, key, filters=GOLD)
    work(pool)
    assert again["jobId"] == first["jobId"]
    assert len(again["messages"]) == 5
    assert tenant.get("/messages").json()["pagination"]["totalCount"] == 5
    assert tenant.get("/jobs").json()["pagination"]["totalCount"] == 1


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "body",
    [
        {"filters": {"attributes": [{"name": "a", "comparator": "~", "value": "1"}]}},
        {"filters": GOLD, "template": "{{#if"},
        {"filters": GOLD, "template": ""},
        {"filters": GOLD, "conversationStrategy": "other"},
        {"filters": GOLD, "sendAt": "soon"},
        {"filters": {"attributes": [{"value": "1"}]}, "sendAt": "2030-01-01T00:00:00Z"},
    ],
)
def test_what_cannot_be_sent_makes_no_job(tenant: Tenant, body: dict[str, Any]) -> None:
    add_people(tenant, 5)
    if "sendAt" in body and body["sendAt"] != "soon":
        body["sendAt"] = (utc_now() + timedelta(hours=1)).isoformat()
    answer = tenant.post("/messages", json={"template": "Hello", **body})
    assert answer.status_code == 400, answer.text
    assert tenant.get("/jobs").json()["data"] == []


def test_a_text_for_later_shows_its_time_and_can_be_taken_back(tenant: Tenant) -> None:
    at = (utc_now() + timedelta(hours=1)).replace(microsecond=0)
    data = send(tenant, contacts=[{"mobile": NUMBER}], sendAt=at.isoformat())
    (message,) = data["messages"]
    assert message["status"] == "scheduled"
    assert message["sendAt"] == at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert data["queued"] == 1
    canceled = tenant.delete(f"/messages/{message['id']}").json()["data"]
    assert (canceled["status"], canceled["price"]) == ("canceled", 0)
    assert job_of(tenant, data)["failed"] == 1
    assert tenant.delete(f"/messages/{message['id']}").status_code == 200


def test_a_text_that_left_cannot_be_taken_back(tenant: Tenant, pool: Pool) -> None:
    data = send(tenant, contacts=[{"mobile": NUMBER}])
    with pool.connection() as conn:
        conn.execute("UPDATE dispatch_queue SET started = 1")
    answer = tenant.delete(f"/messages/{data['messages'][0]['id']}")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "MSG-100"


def test_a_job_is_taken_back_as_a_whole(tenant: Tenant) -> None:
    data = send(tenant, contacts=[{"mobile": NUMBER}, {"mobile": "+13475550102"}])
    job = tenant.delete(f"/jobs/{data['jobId']}").json()["data"]
    assert (job["status"], job["queued"], job["failed"]) == ("canceled", 0, 2)
    assert tenant.delete(f"/jobs/{data['jobId']}").json()["data"] == job


@pytest.mark.parametrize("path", ["messages", "jobs"])
def test_what_is_not_the_accounts_cannot_be_taken_back(
    tenant: Tenant, new_tenant: Any, path: str
) -> None:
    data = send(tenant, contacts=[{"mobile": NUMBER}])
    ids = {"messages": data["messages"][0]["id"], "jobs": data["jobId"]}
    other = new_tenant()
    answers = [other.delete(f"/{path}/{id_}") for id_ in (ids[path], uuid4(), "x")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert tenant.get(f"/messages/{ids['messages']}").json()["data"]["status"] == "queued"


def test_jobs_are_listed_newest_first(tenant: Tenant) -> None:
    sent = [send(tenant, contacts=[{"mobile": f"+1347555010{n}"}]) for n in range(3)]
    tenant.delete(f"/jobs/{sent[0]['jobId']}")
    page = tenant.get("/jobs").json()
    assert [job["id"] for job in page["data"]] == [data["jobId"] for data in reversed(sent)]
    assert [job["status"] for job in page["data"]] == ["running", "running", "canceled"]
    assert {"requested", "valid", "invalid", "price", "template", "created"} <= set(page["data"][0])
    second = tenant.get("/jobs?offset=1&limit=1").json()
    assert second["data"] == [page["data"][1]]
    assert second["pagination"] == {"offset": 1, "limit": 1, "totalCount": 3, "hasNext": True}
    assert tenant.get("/jobs?limit=0").status_code == 400


def test_every_field_of_a_send_works_together(tenant: Tenant) -> None:
    """One call with all of SendMessagesRequest; each recipient gets one text."""
    add_people(tenant, 2)
    thread = send(tenant, contacts=[{"mobile": "+13475550150"}])["messages"][0]["conversation"]
    data = send(
        tenant,
        contacts=[{"mobile": "+13475550000"}, {"mobile": "+13475550160", "firstName": "Ada"}],
        conversations=[thread["id"], "no-such"],
        filters=GOLD,
        template="Hello {{firstName}} now",
        type="MMS",
        media=[{"url": "https://example.com/a.png"}],
        phoneNumberFilter={"group": {"id": str(tenant.account_id)}},
        conversationStrategy="reuse",
    )
    assert (data["requested"], data["valid"]) == (5, 4)
    assert [entry["error"]["code"] for entry in data["invalid"]] == ["CONV-001"]
    numbers = [message["contact"]["mobile"]["number"] for message in data["messages"]]
    assert sorted(numbers) == [f"+1347555{n}" for n in ("0000", "0001", "0150", "0160")]
    for message in data["messages"]:
        assert message["type"] == "mms"
        assert message["media"] == [{"url": "https://example.com/a.png"}]
        assert message["message"].endswith("https://example.com/a.png")
        assert message["phoneNumber"] == tenant.sender


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"type": "FAX"}, 400, "GEN-400"),
        ({"media": [{"url": "ftp://x"}]}, 400, "GEN-400"),
        ({"media": [{}]}, 400, "GEN-400"),
        ({"media": [{"url": "https://example.com"}] * 11}, 400, "GEN-400"),
        ({"template": " "}, 400, "MSG-011"),
        ({"template": "{{#each}}"}, 400, "TMPL-001"),
        ({"conversationStrategy": "fresh"}, 400, "GEN-400"),
        ({"sendAt": 12}, 400, "GEN-400"),
        ({"sendAt": "2020-01-01T00:00:00Z"}, 400, "GEN-400"),
        ({"contacts": []}, 400, "MSG-010"),
        ({"conversations": ["x"] * 10_001}, 413, "GEN-413"),
    ],
)
def test_a_field_that_makes_no_sense_refuses_the_whole_send(
    tenant: Tenant, body: dict[str, Any], status: int, code: str
) -> None:
    whole = {"contacts": [{"mobile": NUMBER}], "template": "Hello", **body}
    answer = tenant.post("/messages", json=whole)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert tenant.get("/messages").json()["data"] == []
    assert tenant.get("/contacts").json()["data"] == []
