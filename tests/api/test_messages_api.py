"""Messages and jobs over the API: send, list, fetch. The send's own rules: tests/domain."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.db.pool import connect
from viesti.dispatch.settings import DISPATCH_CHANNEL
from viesti.kit.config import Settings

NUMBER = "+13475550101"


def send(tenant: Tenant, **body: Any) -> dict[str, Any]:
    body.setdefault("template", "Hello {{firstName}}")
    answer = tenant.post("/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_one_text_to_an_unknown_number_is_queued_and_makes_a_contact(tenant: Tenant) -> None:
    data = send(tenant, contacts=[{"mobile": NUMBER, "firstName": "Ann"}])
    assert (data["requested"], data["valid"], data["queued"], data["invalid"]) == (1, 1, 1, [])
    assert data["estimatedPrice"] == 0.032
    (message,) = data["messages"]
    assert message["message"] == "Hello Ann"
    assert message["template"] == "Hello {{firstName}}"
    assert (message["status"], message["price"], message["segments"]) == ("queued", 0.032, 1)
    assert message["phoneNumber"] == tenant.sender
    assert message["conversation"].keys() == {"id"}
    assert message["group"]["id"] == str(tenant.account_id)
    assert "error" not in message
    assert message["created"]["at"].endswith("Z")
    assert tenant.get("/contacts").json()["pagination"]["totalCount"] == 1
    assert tenant.get(f"/messages/{message['id']}").json()["data"] == message


@pytest.mark.parametrize(
    "contact",
    [
        {"mobile": "3475550101"},
        {"mobile": "13475550101", "attributes": []},
        {"mobile": {"number": "(347) 555-0101", "country": "US"}, "id": 12, "custom": {"a": 1}},
        {"mobile": 13475550101, "tags": ["x"]},
    ],
)
def test_recipients_are_taken_as_clients_write_them(
    tenant: Tenant, contact: dict[str, Any]
) -> None:
    data = send(tenant, contacts=[contact], template="Hi", unknown=True)
    assert data["messages"][0]["contact"]["mobile"]["number"] == NUMBER


def test_a_bad_number_comes_back_as_invalid(tenant: Tenant) -> None:
    data = send(tenant, contacts=[{"mobile": "12345"}, {"mobile": NUMBER}], template="Hi")
    assert (data["requested"], data["valid"]) == (2, 1)
    assert data["invalid"][0]["error"]["code"] == "CONT-001"
    assert len(data["messages"]) == 1


@pytest.mark.parametrize("body", [{}, {"to": NUMBER, "text": "Hi"}, {"contacts": []}])
def test_a_send_that_names_nobody_is_refused(tenant: Tenant, body: dict[str, Any]) -> None:
    answer = tenant.post("/messages", json={"template": "Hi", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "MSG-010"


@pytest.mark.parametrize("contacts", [[{}], [{"phone": "+13475550101"}], [{"mobile": ""}, {}]])
def test_contacts_of_foreign_field_names_name_nobody(
    tenant: Tenant, contacts: list[dict[str, Any]]
) -> None:
    # Clients mark the person as texted on any 2xx.
    answer = tenant.post("/messages", json={"contacts": contacts, "template": "Hi"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "MSG-010"


@pytest.mark.parametrize("empty", [None, [], {}, {"tags": None, "attributes": None}])
def test_filters_that_narrow_nothing_are_as_none(tenant: Tenant, empty: Any) -> None:
    data = send(tenant, contacts=[{"mobile": "+13475550101"}], filters=empty)
    assert data["requested"] == 1
    assert tenant.post("/messages", json={"filters": empty, "template": "x"}).status_code == 400


PEOPLE = {
    "+13475550101": {"age": "30", "plan": "gold"},
    "+13475550102": {"age": 9, "plan": ""},
    "+13475550103": {"age": "unknown", "vip": True},
    "+13475550104": {},
}


@pytest.mark.parametrize(
    ("clause", "last_digits"),
    [
        ({"name": "age", "comparator": "<", "value": "20"}, "2"),
        ({"attribute": "age", "comparator": ">=", "value": ["9"]}, "12"),
        ({"attribute": "age", "comparator": "!=", "value": "9"}, "134"),
        ({"attribute": "age", "comparator": ">", "value": "u"}, "3"),
        ({"attribute": "plan", "value": ["gold", "silver"]}, "1"),
        ({"attribute": "plan", "value": ""}, "234"),
        ({"attribute": "plan", "comparator": "<", "value": "z"}, "12"),
        ({"attribute": "vip", "value": True}, "3"),
        ("plan=gold", "1"),
    ],
)
def test_attributes_choose_only_who_has_them(tenant: Tenant, clause: Any, last_digits: str) -> None:
    people = [{"mobile": mobile, "attributes": of} for mobile, of in PEOPLE.items()]
    assert tenant.post("/contacts", json=people).status_code == 201
    data = send(tenant, filters={"attributes": [clause]})
    numbers = sorted(message["contact"]["mobile"]["number"] for message in data["messages"])
    assert "".join(number[-1] for number in numbers) == last_digits


@pytest.mark.parametrize(
    "clause",
    [
        {"attribute": "plan"},
        {"attribute": "plan", "value": None},
        {"attribute": "plan", "value": []},
        {"value": "gold"},
        "plan",
        "",
    ],
)
def test_an_attribute_filter_without_name_or_value_chooses_nobody(
    tenant: Tenant, clause: Any
) -> None:
    tenant.post("/contacts", json={"mobile": "+13475550101"})
    body = {"filters": {"attributes": [clause]}, "template": "Hi"}
    answer = tenant.post("/messages", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "GEN-400"


def test_lists_are_newest_first_and_filtered(tenant: Tenant) -> None:
    first = send(tenant, contacts=[{"mobile": NUMBER}], template="One")
    second = send(tenant, contacts=[{"mobile": "+447400123456"}], template="Two")
    old, new = first["messages"][0], second["messages"][0]

    def ids(query: str) -> list[str]:
        answer = tenant.get(f"/messages?{query}").json()
        assert answer["pagination"]["totalCount"] == len(answer["data"])
        return [message["id"] for message in answer["data"]]

    assert ids("") == [new["id"], old["id"]]
    assert ids(f"contactId={old['contact']['id']}") == [old["id"]]
    assert ids(f"conversationId={new['conversation']['id']}") == [new["id"]]
    assert ids(f"jobId={first['jobId']}") == [old["id"]]
    assert ids("status=QUEUED") == [new["id"], old["id"]]
    assert ids("status=delivered") == ids("status=undelivered") == ids("status=zzz") == []
    assert ids(f"contactId={old['contact']['id']}&jobId={second['jobId']}") == []
    for name in ("contactId", "conversationId", "jobId"):
        assert ids(f"{name}={uuid4()}") == ids(f"{name}=nonsense") == []
    assert ids("contactId=&unknown=1") == [new["id"], old["id"]]


def test_a_job_tells_what_became_of_its_texts(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    sent = send(tenant, contacts=[{"mobile": NUMBER}, {"mobile": "1"}], template="One")
    job = tenant.get(f"/jobs/{sent['jobId']}").json()["data"]
    assert (job["requested"], job["valid"], job["invalid"], job["queued"]) == (2, 1, 1, 1)
    assert (job["status"], job["price"]) == ("running", 0.032)
    with pool.connection() as conn:
        conn.execute("UPDATE messages SET status = 'delivered'")
    job = tenant.get(f"/jobs/{sent['jobId']}").json()["data"]
    assert (job["status"], job["queued"], job["delivered"]) == ("complete", 0, 1)
    for unknown in (uuid4(), "x"):
        answer = tenant.get(f"/jobs/{unknown}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "JOB-001"


def test_a_failed_text_shows_its_error(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    sent = send(tenant, contacts=[{"mobile": NUMBER}], template="One")
    with pool.connection() as conn:
        conn.execute("UPDATE messages SET status = 'error', error_code = 'MSG-019'")
    message = tenant.get(f"/messages/{sent['messages'][0]['id']}").json()["data"]
    assert message["error"].keys() == {"code", "description"}
    assert message["error"]["code"] == "MSG-019"
    found = tenant.get("/messages?status=undelivered").json()["data"]
    assert [row["id"] for row in found] == [message["id"]]


def test_the_same_idempotency_key_answers_the_same(tenant: Tenant) -> None:
    body = {"contacts": [{"mobile": NUMBER}], "template": "Once"}
    headers = {"idempotency-key": "key-1"}
    first = tenant.post("/messages", json=body, headers=headers)
    again = tenant.post("/messages", json=body, headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.json()["data"]["jobId"] == again.json()["data"]["jobId"]
    assert first.json()["data"]["messages"] == again.json()["data"]["messages"]
    other = tenant.post("/messages", json={**body, "template": "Twice"}, headers=headers)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "GEN-422"
    for bad in ("", "x" * 256, "\x01"):
        answer = tenant.post("/messages", json=body, headers={"idempotency-key": bad})
        assert answer.status_code == 400
    assert tenant.get("/messages").json()["pagination"]["totalCount"] == 1


def test_dispatch_is_woken_after_the_commit(tenant: Tenant, settings: Settings) -> None:
    with connect(settings.database_url, "test", autocommit=True) as listening:
        listening.execute(f"LISTEN {DISPATCH_CHANNEL}")
        send(tenant, contacts=[{"mobile": NUMBER}], template="One")
        (note,) = listening.notifies(timeout=5, stop_after=1)
        lane = listening.execute("SELECT lane_id FROM dispatch_queue").fetchone()
    assert lane is not None
    assert note.payload == str(lane[0])


def test_ten_thousand_recipients_are_one_call(tenant: Tenant) -> None:
    contacts = [{"mobile": f"+1212{2_000_000 + n}", "firstName": "Zo\u00eb"} for n in range(10_000)]
    data = send(tenant, contacts=contacts)
    assert (data["requested"], data["valid"]) == (10_000, 10_000)
    assert len(data["messages"]) == 1_000
    more = tenant.get(f"/messages?jobId={data['jobId']}&limit=100&offset=9900").json()
    assert more["pagination"]["totalCount"] == 10_000
    assert len(more["data"]) == 100
    answer = tenant.post(
        "/messages", json={"template": "Hi", "contacts": [*contacts, {"mobile": NUMBER}]}
    )
    assert answer.status_code == 413
