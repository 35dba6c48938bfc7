"""Campaigns over the API: create, change, put back what was read, run, pause, report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api.conftest import Tenant
from viesti.kit.clock import utc_now

BASE = {"template": "Hi {{firstName}}", "filters": {"tags": ["all"]}, "trigger": {"code": "M"}}


def create(tenant: Tenant, **fields: Any) -> dict[str, Any]:
    answer = tenant.post("/campaigns", json={**BASE, **fields})
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_a_campaign_of_the_published_contract_is_taken(tenant: Tenant) -> None:
    made = create(tenant)
    assert made["trigger"] == {"code": "M", "name": "Manual"}
    assert made["filters"] == {"tags": [{"tag": "all", "visible": True}]}
    assert made["reporting"] == {"when": "NoReport"}
    for absent in ("paused", "nextExecution", "lastJob", "schedule"):
        assert absent not in made
    assert tenant.get(f"/campaigns/{made['id']}").json()["data"] == made


def test_an_empty_body_makes_a_draft(tenant: Tenant) -> None:
    # The published contract requires nothing, not even a name.
    answer = tenant.post("/campaigns", json={})
    assert answer.status_code == 201
    assert answer.json()["data"]["name"] == "Campaign"


def test_a_campaign_of_the_newer_documents_comes_back_as_it_was_written(tenant: Tenant) -> None:
    made = create(
        tenant,
        name="Spring",
        description="Twice a year",
        trigger={"code": "S"},
        schedule={"frequency": "W", "timezone": "America/New_York", "cron": "0 9 * * mon"},
        media=[{"url": "https://example.com/a.png"}],
        phoneNumberFilter={"group": {"id": str(tenant.account_id)}},
        fieldMappings=[{"attribute": "mobile", "column": "Phone", "mandatory": True}],
        filters={
            "contacts": ["0199aaaa-0000-7000-8000-000000000001"],
            "tags": [{"tag": "vip", "visible": True}],
            "attributes": ["city=Rome", {"attribute": "age", "comparator": ">", "value": ["20"]}],
            "q": "ann",
        },
        reporting={
            "when": "Delayed",
            "delay": "2",
            "unit": "hours",
            "destination": "https://example.com/report",
        },
    )
    assert made["filters"]["attributes"] == [
        {"attribute": "city", "comparator": "=", "value": "Rome"},
        {"attribute": "age", "comparator": ">", "value": ["20"]},
    ]
    assert made["schedule"]["cron"] == "0 9 * * mon"
    assert made["nextExecution"].endswith("Z")
    again = tenant.put(f"/campaigns/{made['id']}", json=made).json()["data"]
    assert again == made


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}"])
def test_a_put_that_says_nothing_changes_nothing(tenant: Tenant, body: bytes) -> None:
    made = create(tenant, name="Spring")
    answer = tenant.put(f"/campaigns/{made['id']}", content=body)
    assert answer.status_code == 200
    assert answer.json()["data"] == made


def test_a_put_changes_what_it_names_and_empties_what_it_names_empty(tenant: Tenant) -> None:
    made = create(tenant, name="Spring", description="x")
    changed = tenant.put(
        f"/campaigns/{made['id']}", json={"name": "Autumn", "description": "", "filters": []}
    ).json()["data"]
    assert (changed["name"], changed["description"]) == ("Autumn", "")
    assert changed["filters"] == {}
    assert changed["template"] == made["template"]


def test_the_list_finds_a_part_of_the_name_newest_first(tenant: Tenant) -> None:
    ids = [create(tenant, name=name)["id"] for name in ("Spring sale", "Autumn", "spring_2")]
    found = tenant.get("/campaigns?name=PRING").json()
    assert [entry["id"] for entry in found["data"]] == [ids[2], ids[0]]
    assert found["pagination"]["totalCount"] == 2
    assert tenant.get("/campaigns?name=_2").json()["pagination"]["totalCount"] == 1
    page = tenant.get("/campaigns?limit=1&offset=1").json()
    assert [entry["id"] for entry in page["data"]] == [ids[1]]
    assert page["pagination"]["hasNext"] is True


def test_a_deleted_campaign_is_gone(tenant: Tenant) -> None:
    made = create(tenant)
    answer = tenant.delete(f"/campaigns/{made['id']}")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for again in (
        tenant.get(f"/campaigns/{made['id']}"),
        tenant.delete(f"/campaigns/{made['id']}"),
        tenant.put(f"/campaigns/{made['id']}", json={"name": "x"}),
        tenant.post(f"/campaigns/{made['id']}/execute"),
    ):
        assert again.status_code == 404
        assert again.json()["error"]["code"] == "CAMP-001"
    assert tenant.get("/campaigns").json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"template": "Hi {{#if x}}"}, "TMPL-001"),
        ({"trigger": {"code": "V2"}}, "CAMP-002"),
        ({"trigger": {"code": "S"}, "schedule": {"cron": "every day"}}, "CAMP-003"),
        ({"schedule": {"timezone": "Mars/Olympus"}}, "CAMP-003"),
        ({"schedule": {"frequency": "HOURLY"}}, "CAMP-003"),
        ({"trigger": {"code": "S"}, "schedule": {"frequency": "D"}}, "CAMP-003"),
        (
            {
                "trigger": {"code": "S"},
                "schedule": {"frequency": "OD"},
                "nextExecution": "2020-01-01T00:00:00Z",
            },
            "CAMP-003",
        ),
        ({"trigger": {"code": "S"}, "nextExecution": "2090-01-01T00:00:00Z"}, "CAMP-003"),
        ({"nextExecution": "tomorrow"}, "CAMP-003"),
        ({"reporting": {"when": "Sometimes"}}, "CAMP-006"),
        ({"reporting": {"when": "OnCompletion", "destination": "me@example.com"}}, "CAMP-006"),
        ({"reporting": {"when": "OnCompletion", "destination": "http://10.0.0.5/"}}, "CAMP-006"),
        (
            {
                "reporting": {
                    "when": "Delayed",
                    "delay": "-1",
                    "destination": "https://example.com/",
                }
            },
            "CAMP-006",
        ),
        ({"name": "n" * 201}, "CAMP-008"),
        ({"filters": {"attributes": ["nonsense"]}}, "GEN-400"),
        ({"media": [{"url": "file:///etc/passwd"}]}, "CAMP-008"),
        ({"fieldMappings": [{"attribute": "x"}]}, "CAMP-008"),
        ({"filters": 7}, "GEN-400"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(
    tenant: Tenant, fields: dict[str, Any], code: str
) -> None:
    answer = tenant.post("/campaigns", json={**BASE, **fields})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == code
    assert tenant.get("/campaigns").json()["data"] == []
    made = create(tenant)
    answer = tenant.put(f"/campaigns/{made['id']}", json=fields)
    assert answer.json()["error"]["code"] == code
    assert tenant.get(f"/campaigns/{made['id']}").json()["data"] == made


def test_a_template_error_says_where_it_is(tenant: Tenant) -> None:
    answer = tenant.post("/campaigns", json={**BASE, "template": "Hi\n{{#if x}}"})
    assert "line 2" in answer.json()["error"]["message"]


def test_a_run_shows_as_the_last_job_and_among_the_runs(tenant: Tenant) -> None:
    made = create(tenant)
    answer = tenant.post(f"/campaigns/{made['id']}/execute")
    assert answer.status_code == 200, answer.text
    job = answer.json()["data"]["lastJob"]
    assert job["status"] == "running"
    assert tenant.get(f"/jobs/{job['id']}").json()["data"]["id"] == job["id"]
    (run,) = tenant.get(f"/campaigns/{made['id']}/runs").json()["data"]
    assert run["job"] == {"id": job["id"]}
    again = tenant.post(f"/campaigns/{made['id']}/execute")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CAMP-005")


def test_pausing_shows_since_when_and_resuming_takes_it_away(tenant: Tenant) -> None:
    made = create(tenant)
    path = f"/campaigns/{made['id']}"
    assert tenant.post(f"{path}/pause").json()["data"]["paused"].endswith("Z")
    refused = tenant.post(f"{path}/execute")
    assert refused.json()["error"]["code"] == "CAMP-005"
    assert "paused" not in tenant.post(f"{path}/resume").json()["data"]
    assert tenant.post(f"{path}/execute").status_code == 200
    assert tenant.post(f"{path}/cancel").json()["data"]["lastJob"]["status"] == "canceled"


@pytest.mark.parametrize(
    "fields", [{"template": ""}, {"filters": {}}, {"filters": {}, "trigger": {"code": "FU"}}]
)
def test_a_campaign_without_text_or_recipients_does_not_run(
    tenant: Tenant, fields: dict[str, Any]
) -> None:
    made = create(tenant, **fields)
    answer = tenant.post(f"/campaigns/{made['id']}/execute")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CAMP-004")


def test_a_file_starts_a_run_as_a_body_and_in_a_form(tenant: Tenant) -> None:
    made = create(tenant, trigger={"code": "FU"}, filters={})
    path = f"/campaigns/{made['id']}"
    text = b"mobile,firstName\n+13475550001,Ada\n"
    answer = tenant.post(f"{path}/file", content=text, headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["lastJob"]["status"] == "running"
    assert tenant.post(f"{path}/cancel").status_code == 200
    answer = tenant.post(f"{path}/file", files={"file": ("people.csv", text, "text/csv")})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("trigger", "content", "code"),
    [
        ("M", b"mobile\n+13475550001\n", "CAMP-007"),
        ("FU", b"", "IMP-001"),
        ("FU", b"name\nAda\n", "IMP-002"),
        ("FU", b"mobile\n", "CAMP-007"),
        ("FU", b"PK\x03\x04xx", "GEN-415"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    tenant: Tenant, trigger: str, content: bytes, code: str
) -> None:
    made = create(tenant, trigger={"code": trigger})
    answer = tenant.post(
        f"/campaigns/{made['id']}/file", content=content, headers={"content-type": "text/csv"}
    )
    assert answer.json()["error"]["code"] == code
    assert tenant.get(f"/campaigns/{made['id']}/runs").json()["data"] == []


def test_another_account_sees_nothing_of_a_campaign(new_tenant: Any) -> None:
    mine, theirs = new_tenant(), new_tenant()
    made = create(theirs)
    for answer in (
        mine.get(f"/campaigns/{made['id']}"),
        mine.put(f"/campaigns/{made['id']}", json={"name": "x"}),
        mine.delete(f"/campaigns/{made['id']}"),
        mine.get(f"/campaigns/{made['id']}/runs"),
        *(
            mine.post(f"/campaigns/{made['id']}/{act}")
            for act in ("execute", "pause", "resume", "cancel", "file")
        ),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CAMP-001")
    assert mine.get("/campaigns").json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "x", "listId": "1"}, {"name": "x", "message": {"message": "Hi"}}],
)
def test_a_quick_campaign_that_lacks_something_is_refused(
    tenant: Tenant, body: dict[str, Any]
) -> None:
    answer = tenant.post("/quickcampaigns", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "CAMP-008")


def test_a_quick_campaign_answers_itself_and_its_job(tenant: Tenant) -> None:
    made = tenant.post("/lists", json={"name": "News"}).json()["data"]
    body = {
        "name": "Today",
        "groupId": str(tenant.account_id),
        "listId": made["id"],
        "message": {"message": "Open until 8", "media": []},
    }
    answer = tenant.post("/quickcampaigns", json=body)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["campaign"]["filters"]["list"] == {"id": made["id"], "name": "News"}
    assert data["campaign"]["lastJob"]["id"] == data["job"]["id"]
    in_an_hour = (utc_now() + timedelta(hours=1)).isoformat()
    later = tenant.post("/quickcampaigns", json={**body, "sendAt": in_an_hour})
    assert later.json()["data"]["job"]["status"] == "scheduled"
    for wrong, code in (("listId", "LIST-001"), ("groupId", "GRP-001")):
        refused = tenant.post("/quickcampaigns", json={**body, wrong: "nonsense"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, code)


def test_a_start_that_is_repeated_with_its_key_is_made_once(tenant: Tenant) -> None:
    news = tenant.post("/lists", json={"name": "News"}).json()["data"]
    body = {"name": "Today", "listId": news["id"], "message": {"message": "Open until 8"}}
    key = {"idempotency-key": "today"}
    first, again = (tenant.post("/quickcampaigns", json=body, headers=key) for _ in range(2))
    assert again.status_code == 200
    for part in ("campaign", "job"):
        assert again.json()["data"][part]["id"] == first.json()["data"][part]["id"]
    other = tenant.post("/quickcampaigns", json=body | {"name": "Other"}, headers=key)
    assert other.json()["error"]["code"] == "GEN-422"

    made, twin = create(tenant, trigger={"code": "FU"}), create(tenant)
    calls: tuple[dict[str, Any], ...] = ({}, {"content": "mobile\n+13475550001\n"})
    for call, options in zip(("execute", "file"), calls, strict=True):
        for _ in range(2):
            answer = tenant.post(f"/campaigns/{made['id']}/{call}", headers=key, **options)
            assert (answer.status_code, answer.json()["data"]["id"]) == (200, made["id"])
        assert tenant.post(f"/campaigns/{made['id']}/cancel").status_code == 200
    refused = tenant.post(f"/campaigns/{twin['id']}/execute", headers=key)
    assert refused.json()["error"]["code"] == "GEN-422"
    assert tenant.get("/campaigns").json()["pagination"]["totalCount"] == 3
    assert tenant.get(f"/campaigns/{made['id']}/runs").json()["pagination"]["totalCount"] == 2
