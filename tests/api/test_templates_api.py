"""Templates over the API: create, list, fetch, change, delete, preview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.domain.accounts.models import Profile
from viesti.domain.templates import service

NUMBER = "+13475550101"
TEXT = "Hi {{firstName}}"


def make(tenant: Tenant, **body: Any) -> dict[str, Any]:
    body = {"name": "Greeting", "template": TEXT} | body
    answer = tenant.post("/templates", json=body)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"][0]
    return data


def refused(tenant: Tenant, method: str, path: str, body: Any) -> tuple[int, str]:
    answer = tenant.request(method, path, json=body)
    return answer.status_code, answer.json()["error"]["code"]


def test_creating_one_answers_a_list_as_published(tenant: Tenant) -> None:
    answer = tenant.post("/templates", json={"name": "Greeting", "template": TEXT, "type": "SMS"})
    assert answer.status_code == 201
    body = answer.json()
    assert body["pagination"] == {"offset": 0, "limit": 1, "totalCount": 1, "hasNext": False}
    (made,) = body["data"]
    assert (made["name"], made["template"], made["type"]) == ("Greeting", TEXT, "SMS")
    assert made["media"] == []
    assert made["created"] == made["updated"]
    assert tenant.get(f"/templates/{made['id']}").json()["data"] == made


def test_credentials_of_the_live_profile_get_one_object(
    new_tenant: Callable[..., Tenant],
) -> None:
    live = new_tenant(profile=Profile.LIVE)
    answer = live.http.post(
        f"/v1/accounts/{live.account_id}/templates",
        json={"name": "Greeting", "template": TEXT},
        headers={"authorization": f"Bearer {live.token}"},
    )
    assert answer.status_code == 201
    assert answer.json()["data"]["name"] == "Greeting"
    assert "pagination" not in answer.json()


def test_a_template_without_a_name_or_type_is_called_by_its_text(tenant: Tenant) -> None:
    made = make(tenant, name=None, template="Your order\n is  {{state}}. " + "x" * 100)
    assert made["name"].startswith("Your order is {{state}}. xxx")
    assert len(made["name"]) == 50
    assert made["type"] == "SMS"


def test_templates_are_listed_oldest_first_and_by_part_of_the_name(tenant: Tenant) -> None:
    names = ["Welcome", "50% off", "welcome back", "Reminder_1"]
    ids = [make(tenant, name=name)["id"] for name in names]
    listed = tenant.get("/templates").json()
    assert [row["id"] for row in listed["data"]] == ids
    assert listed["pagination"]["totalCount"] == 4
    page = tenant.get("/templates?limit=2&offset=1").json()
    assert [row["name"] for row in page["data"]] == names[1:3]
    assert page["pagination"]["hasNext"] is True

    def found(name: str) -> list[str]:
        rows = tenant.get("/templates", params={"name": name}).json()["data"]
        return [row["name"] for row in rows]

    assert found("WELCOME") == ["Welcome", "welcome back"]
    assert found("%") == ["50% off"]
    assert found("r_1") == ["Reminder_1"]
    assert found("nothing") == []


def test_given_fields_change_and_absent_ones_stay(tenant: Tenant) -> None:
    made = make(tenant, media=[{"url": "https://example.com/a.png", "filename": "a.png"}])
    path = f"/templates/{made['id']}"
    changed = tenant.put(path, json={"name": "Other"}).json()["data"]
    assert changed == made | {"name": "Other", "updated": changed["updated"]}
    assert changed["updated"]["at"] >= made["updated"]["at"]
    cleared = tenant.put(path, json={"media": [], "type": "web"}).json()["data"]
    assert (cleared["media"], cleared["type"], cleared["template"]) == ([], "Web", TEXT)
    assert tenant.get(path).json()["data"] == cleared


@pytest.mark.parametrize("body", [None, b"", b" ", b"null", b"[]", b"{}", b'{"name": null}'])
def test_a_put_that_gives_nothing_changes_nothing(tenant: Tenant, body: bytes | None) -> None:
    made = make(tenant)
    answer = tenant.put(f"/templates/{made['id']}", content=body)
    assert answer.status_code == 200
    assert answer.json()["data"] == made


def test_all_that_get_gives_is_taken_back(tenant: Tenant) -> None:
    media = [{"url": "https://example.com/a.png", "type": "image/png", "name": "a"}]
    made = make(tenant, media=media, type="Web")
    path = f"/templates/{made['id']}"
    assert tenant.put(path, json=tenant.get(path).json()["data"]).json()["data"] == made
    assert made["media"] == media


def test_a_deleted_template_is_gone(tenant: Tenant) -> None:
    made = make(tenant)
    path = f"/templates/{made['id']}"
    answer = tenant.delete(path)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert refused(tenant, "GET", path, None) == (404, "TMPL-004")
    assert refused(tenant, "DELETE", path, None) == (404, "TMPL-004")
    assert tenant.get("/templates").json()["data"] == []


def test_a_template_that_does_not_parse_is_refused_with_its_place(tenant: Tenant) -> None:
    bad = {"name": "Bad", "template": "Dear\n{{#if plan}}x"}
    answer = tenant.post("/templates", json=bad)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "TMPL-001"
    assert f"(line {error['line']}, column {error['column']})" in error["message"]
    assert error["line"] == 2
    made = make(tenant)
    path = f"/templates/{made['id']}"
    assert refused(tenant, "PUT", path, bad) == (400, "TMPL-001")
    assert tenant.get(path).json()["data"] == made


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"template": "x" * 4_001}, "TMPL-002"),
        ({"template": "{{#if a}}" * 11 + "{{/if}}" * 11}, "TMPL-002"),
        ({"template": "{{#if a}}" * 10_000}, "TMPL-002"),
        ({"template": "{{> partial}}"}, "TMPL-001"),
        ({"template": "{{shout firstName}}"}, "TMPL-002"),
        ({"template": ""}, "TMPL-005"),
        ({"template": None}, "TMPL-005"),
        ({"name": "n" * 201}, "TMPL-005"),
        ({"type": "MMS"}, "TMPL-005"),
        ({"media": [{"url": "file:///etc/passwd"}]}, "TMPL-005"),
        ({"media": [{"url": "https://example.com/a"}] * 11}, "TMPL-005"),
        ({"media": "https://example.com/a"}, "GEN-400"),
        ({"template": 5}, "GEN-400"),
    ],
)
def test_what_cannot_be_a_template_is_refused(
    tenant: Tenant, body: dict[str, Any], code: str
) -> None:
    body = {"name": "Bad", "template": TEXT} | body
    answer = tenant.post("/templates", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert tenant.get("/templates").json()["pagination"]["totalCount"] == 0


def test_an_account_has_a_bounded_number_of_templates(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_TEMPLATES", 1)
    make(tenant)
    body = {"name": "More", "template": TEXT}
    assert refused(tenant, "POST", "/templates", body) == (409, "TMPL-006")


def test_a_foreign_template_looks_like_none(new_tenant: Callable[..., Tenant]) -> None:
    mine, theirs = new_tenant(), new_tenant()
    made = make(theirs)
    for method, suffix in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/preview")):
        foreign = mine.request(method, f"/templates/{made['id']}{suffix}")
        for unknown in (str(uuid4()), "nonsense"):
            other = mine.request(method, f"/templates/{unknown}{suffix}")
            assert (foreign.status_code, foreign.json()) == (other.status_code, other.json())
        assert foreign.json()["error"]["code"] == "TMPL-004"
    assert mine.get("/templates").json()["data"] == []
    assert theirs.get(f"/templates/{made['id']}").json()["data"] == made


def test_a_preview_is_the_text_that_a_send_makes(tenant: Tenant) -> None:
    contact = tenant.post(
        "/contacts", json={"mobile": NUMBER, "firstName": "O'Brien", "attributes": {"plan": "gold"}}
    ).json()["data"][0]
    made = make(tenant, template="Hi {{firstName}}, {{plan}} \N{CHECK MARK}")
    data = tenant.get(f"/templates/{made['id']}/preview?contactId={contact['id']}").json()["data"]
    assert data == {
        "message": "Hi O'Brien, gold ✓",
        "type": "SMS",
        "segments": 1,
        "encoding": "ucs2",
        "price": 0.032,
        "unicodeCharacters": [{"character": "✓", "position": 17}],
    }
    sent = tenant.post(
        "/messages", json={"contacts": [{"id": contact["id"]}], "template": made["template"]}
    ).json()["data"]
    message = sent["messages"][0]
    assert (message["message"], message["segments"]) == (data["message"], data["segments"])
    assert message["price"] == data["price"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"template": TEXT, "contact": {"firstName": "Ada"}}, "Hi Ada"),
        ({"template": TEXT}, "Hi "),
        ({"template": TEXT, "contact": {"mobile": NUMBER, "firstName": "Ada"}}, "Hi Ada"),
        ({"template": "{{mobile}}", "contact": {"mobile": "(347) 555-0101"}}, NUMBER),
        ({"template": "A", "media": ["https://example.com/a"]}, "A\nhttps://example.com/a"),
        (
            {"template": "{{x}}", "type": "Web", "contact": {"attributes": {"x": "<b>"}}},
            "&lt;b&gt;",
        ),
        ({"template": "{{x}}", "contact": {"attributes": {"x": "<b>"}}}, "<b>"),
        ({"template": "{{{x}}}", "type": "Web", "contact": {"attributes": {"x": "<b>"}}}, "<b>"),
    ],
)
def test_a_text_can_be_tried_without_storing_anything(
    tenant: Tenant, body: dict[str, Any], message: str
) -> None:
    answer = tenant.post("/templates/preview", json=body)
    assert answer.status_code == 200
    assert answer.json()["data"]["message"] == message
    assert tenant.get("/templates").json()["data"] == []
    assert tenant.get("/contacts").json()["data"] == []


def test_a_preview_takes_a_stored_template_and_says_what_would_fail(tenant: Tenant) -> None:
    made = make(tenant, template="{{#each tags}}{{this}}{{/each}}")
    contact = {"tags": ["x" * 90] * 2 + [letter * 90 for letter in "abcdefghijklmnopqrst"]}
    body = {"templateId": made["id"], "contact": contact}
    data = tenant.post("/templates/preview", json=body).json()["data"]
    assert data["error"]["code"] == "MSG-007"
    assert data["segments"] > 10
    assert data["price"] == 0


def test_a_preview_shows_the_notice_and_smart_encoding_of_the_account(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    with pool.connection() as conn:
        conn.execute("UPDATE accounts SET notice = true, smart_encoding = true")
    body = {"template": "It\N{RIGHT SINGLE QUOTATION MARK}s here"}
    data = tenant.post("/templates/preview", json=body).json()["data"]
    assert data["message"].startswith("It's here\n")
    assert "STOP" in data["message"]
    assert (data["encoding"], data["unicodeCharacters"]) == ("gsm7", [])


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, "TMPL-005")),
        ({"template": "{{#if a}}"}, (400, "TMPL-001")),
        ({"templateId": str(uuid4())}, (404, "TMPL-004")),
        ({"template": TEXT, "contactId": str(uuid4())}, (404, "CONT-002")),
        ({"template": TEXT, "contact": {"mobile": "12"}}, (400, "CONT-001")),
    ],
)
def test_a_preview_of_nothing_known_is_refused(
    tenant: Tenant, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    assert refused(tenant, "POST", "/templates/preview", body) == refusal
