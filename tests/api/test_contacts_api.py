"""Contacts over the API: create and merge, list, fetch, update, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.domain.accounts.models import Profile
from viesti.domain.opt_outs.service import opt_out
from viesti.kit.clock import utc_now

NUMBER = "+13475550101"
ANN = {
    "firstName": "Ann",
    "mobile": {"number": NUMBER, "country": "US"},
    "tags": [{"tag": "a", "visible": True}],
    "attributes": {"plan": "gold"},
}


def create(tenant: Tenant, *contacts: Any, query: str = "") -> list[dict[str, Any]]:
    answer = tenant.post(f"/contacts{query}", json=list(contacts))
    assert answer.status_code == 201, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def tags_of(contact: dict[str, Any]) -> list[str]:
    return [tag["tag"] for tag in contact["tags"]]


@pytest.mark.parametrize(
    ("strategy", "tags", "plan"),
    [("append", ["a", "b"], "gold"), ("core", ["a"], "gold"), ("remove", ["b"], None)],
)
def test_a_number_written_again_is_merged_as_the_strategy_says(
    tenant: Tenant, strategy: str, tags: list[str], plan: str | None
) -> None:
    (first,) = create(tenant, ANN)
    again = {
        "firstName": "Bea",
        "mobile": {"number": "(347) 555-0101", "country": "US"},
        "tags": ["b"],
    }
    (merged,) = create(tenant, again, query=f"?mergeStrategy={strategy}")
    assert merged["id"] == first["id"]
    assert merged["firstName"] == "Bea"
    assert tags_of(merged) == tags
    assert merged["attributes"].get("plan") == plan
    assert tenant.get("/contacts").json()["pagination"]["totalCount"] == 1


def test_the_default_strategy_appends_and_an_unknown_one_is_refused(tenant: Tenant) -> None:
    create(tenant, ANN)
    (merged,) = create(tenant, {"mobile": NUMBER, "tags": ["b"], "lastName": None})
    assert tags_of(merged) == ["a", "b"]
    assert merged["firstName"] == "Ann"
    refused = tenant.post("/contacts?mergeStrategy=replace", json=ANN)
    assert refused.status_code == 400


def test_one_object_gives_a_list_or_for_the_live_profile_one_object(
    new_tenant: Callable[..., Tenant],
) -> None:
    published, live = new_tenant(), new_tenant(Profile.LIVE)
    answer = published.post("/contacts", json=ANN)
    assert answer.status_code == 201
    assert answer.json()["data"][0]["mobile"]["number"] == NUMBER
    assert answer.json()["pagination"] == {
        "offset": 0,
        "limit": 1,
        "totalCount": 1,
        "hasNext": False,
    }
    # Not through ``live.post``, which checks the published contract.
    answer = live.http.post(
        f"/v1/accounts/{live.account_id}/contacts",
        json=ANN,
        headers={"authorization": f"Bearer {live.token}"},
    )
    assert answer.status_code == 201
    assert answer.json()["data"]["id"]
    assert isinstance(live.post("/contacts", json=[ANN]).json()["data"], list)


def test_a_number_is_taken_however_it_is_written(tenant: Tenant) -> None:
    for mobile in (
        NUMBER,
        "13475550101",
        13475550101,
        "(347) 555-0101",
        {"number": "347.555.0101", "country": "us"},
        {"number": 3475550101},
    ):
        (made,) = create(tenant, {"mobile": mobile})
        assert made["mobile"] == {"number": NUMBER, "country": "US", "valid": True}
        assert made["valid"] is True


def test_habits_of_clients_are_taken(tenant: Tenant) -> None:
    (made,) = create(
        tenant,
        {
            "id": 7,
            "mobile": NUMBER,
            "attributes": [],
            "tags": [],
            "unknown": {"x": [1]},
            "lists": 3,
        },
    )
    assert made["attributes"] == {}
    assert "firstName" not in made
    assert made["created"]["at"].endswith("Z")


def test_a_bad_number_comes_back_with_its_reason(tenant: Tenant) -> None:
    alone = tenant.post("/contacts", json={"mobile": {"number": "12345", "country": "US"}})
    assert alone.status_code == 400
    assert alone.json()["error"]["code"] == "CONT-001"
    assert tenant.post("/contacts", json={"phone": NUMBER}).json()["error"]["code"] == "CONT-001"
    mixed = tenant.post(
        "/contacts", json=[{"mobile": "12345", "firstName": "Bad"}, ANN, {"firstName": "No"}]
    ).json()
    assert [contact["valid"] for contact in mixed["data"]] == [False, True, False]
    assert mixed["data"][0]["error"]["code"] == "CONT-001"
    assert mixed["data"][0]["error"]["description"]
    assert mixed["data"][0]["firstName"] == "Bad"
    assert len(mixed["invalid"]) == 2
    assert tenant.get("/contacts").json()["pagination"]["totalCount"] == 1


def test_ten_thousand_contacts_are_one_call_and_more_are_refused(tenant: Tenant) -> None:
    contacts = [{"mobile": f"+1212{2_000_000 + n}"} for n in range(10_001)]
    answer = tenant.post("/contacts", json=contacts)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "GEN-413"
    answer = tenant.post("/contacts", json=contacts[:10_000])
    assert answer.status_code == 201
    assert len(answer.json()["data"]) == 10_000


def test_filters_match_parts_in_any_case(tenant: Tenant) -> None:
    create(
        tenant,
        {**ANN, "lastName": "O'Brien", "email": "ann@example.test", "tags": ["a", "b"]},
        {"mobile": "+447400123456", "firstName": "Bob_1", "tags": ["b"]},
    )
    create(tenant, {"mobile": "+13475550102", "firstName": "BobX1"})

    def found(query: str) -> list[str]:
        data = tenant.get(f"/contacts?{query}").json()["data"]
        return [contact["mobile"]["number"][-3:] for contact in data]

    assert found("firstName=AN") == ["101"]
    assert found("lastName=o%27br") == ["101"]
    assert found("email=EXAMPLE.test") == ["101"]
    assert found("firstName=bob_") == ["456"]
    assert found("firstName=%25") == []
    assert found("tags=b") == ["101", "456"]
    assert found("tags=a,b") == ["101"]
    assert found("tags=a&tags=b") == ["101"]
    assert found("firstName=bob&tags=b") == ["456"]
    assert found("firstName=") == ["101", "456", "102"]
    assert found("unknown=1&filter[x]=y") == ["101", "456", "102"]


def test_contacts_are_found_by_digits_however_they_are_written(tenant: Tenant) -> None:
    create(tenant, ANN, {"mobile": "+447400123456"})
    for written in (
        "7400123456",
        "07400 123456",
        "+44 (0)7400 123456",
        "0044 7400",
        "447400123456",
        "123-456",
    ):
        data = tenant.get(f"/contacts?mobile={quote(written)}").json()["data"]
        assert [contact["mobile"]["number"] for contact in data] == ["+447400123456"]
    assert tenant.get("/contacts?mobile=abc").json()["data"] == []


def test_put_changes_what_is_given_and_leaves_the_rest(tenant: Tenant) -> None:
    (made,) = create(tenant, {**ANN, "lastName": "Lee", "email": "a@example.test"})
    path = f"/contacts/{made['id']}"
    changed = tenant.put(path, json={"firstName": "Bea", "email": ""}).json()["data"]
    assert changed["firstName"] == "Bea"
    assert changed["lastName"] == "Lee"
    assert "email" not in changed
    assert changed["attributes"] == {"plan": "gold"}
    replaced = tenant.put(path, json={"tags": ["x"], "attributes": {"n": 1}}).json()["data"]
    assert (tags_of(replaced), replaced["attributes"]) == (["x"], {"n": 1})
    cleared = tenant.put(path, json={"tags": [], "attributes": {}, "lastName": None})
    assert "lastName" not in cleared.json()["data"]
    assert cleared.json()["data"]["tags"] == []
    assert tenant.get(path).json() == cleared.json()


def test_put_without_anything_changes_nothing(tenant: Tenant) -> None:
    (made,) = create(tenant, ANN)
    for body in (b"", b"null", b"[]", b"{}", b" \n"):
        answer = tenant.put(f"/contacts/{made['id']}", content=body)
        assert answer.status_code == 200
        assert answer.json()["data"] == made


def test_everything_that_get_gives_can_be_put_back(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    (made,) = create(tenant, ANN)
    with pool.connection() as conn:
        opt_out(
            conn,
            tenant.account_id,
            NUMBER,
            source="keyword",
            word="STOP",
            sender_id=None,
            now=utc_now(),
        )
    path = f"/contacts/{made['id']}"
    blocked = tenant.get(path).json()["data"]
    assert blocked["error"]["code"] == "CONT-010"
    assert blocked["blocked"].endswith("Z")
    assert tenant.put(path, json=blocked).json()["data"] == blocked
    # Consent is changed by the handset alone.
    for change in ({"blocked": None}, {"blocked": "", "optIn": "2025-01-01T00:00:00Z"}):
        assert tenant.put(path, json=change).json()["data"]["blocked"] == blocked["blocked"]
    (again,) = create(tenant, {**ANN, "blocked": None}, query="?mergeStrategy=remove")
    assert again["blocked"] == blocked["blocked"]
    tenant.delete(path)
    (fresh,) = create(tenant, ANN)
    assert fresh["id"] != made["id"]
    assert fresh["blocked"] == blocked["blocked"]


def test_put_can_change_the_number_unless_it_is_taken(tenant: Tenant) -> None:
    made, _other = create(tenant, ANN, {"mobile": "+447400123456"})
    path = f"/contacts/{made['id']}"
    moved = tenant.put(path, json={"mobile": {"number": "347-555-0199", "country": "US"}})
    assert moved.json()["data"]["mobile"]["number"] == "+13475550199"
    taken = tenant.put(path, json={"mobile": "+447400123456"})
    assert taken.status_code == 409
    assert taken.json()["error"]["code"] == "CONT-004"
    for bad in ("12", "", {"number": "12345", "country": "US"}):
        refused = tenant.put(path, json={"mobile": bad})
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "CONT-001"
    assert tenant.get(path).json() == moved.json()


def test_a_deleted_contact_is_gone(tenant: Tenant) -> None:
    (made,) = create(tenant, ANN)
    path = f"/contacts/{made['id']}"
    answer = tenant.delete(path)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for answer in (tenant.get(path), tenant.put(path, json={}), tenant.delete(path)):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "CONT-002"
    assert tenant.get("/contacts").json()["data"] == []


OUT_OF_BOUNDS: list[dict[str, Any]] = [
    {"firstName": "x" * 201},
    {"tags": ["x" * 101]},
    {"tags": [{"tag": 3}]},
    {"tags": [f"t{n}" for n in range(101)]},
    {"attributes": {"x": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}},
    {"attributes": {"x": "y" * 40_000}},
    {"attributes": {f"n{n}": 1 for n in range(201)}},
    {"attributes": ["x"]},
]


def test_a_field_that_is_out_of_bounds_is_refused(tenant: Tenant) -> None:
    for field in OUT_OF_BOUNDS:
        answer = tenant.post("/contacts", json={**ANN, **field})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "CONT-003"


def test_contact_events_are_recorded_for_those_who_listen(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    kinds = ["contact-created", "contact-updated", "contact-removed"]
    tenant.post("/webhooks", json={"url": "https://example.com/hook", "eventTypes": kinds})
    (made,) = create(tenant, ANN)
    create(tenant, ANN)  # nothing changes
    tenant.put(f"/contacts/{made['id']}", json={"firstName": "Bea"})
    tenant.put(f"/contacts/{made['id']}", json={"firstName": "Bea"})
    tenant.delete(f"/contacts/{made['id']}")
    with pool.connection() as conn:
        recorded = conn.execute("SELECT type, contact_id FROM events ORDER BY id").fetchall()
    assert [row[0] for row in recorded] == kinds
    assert {str(row[1]) for row in recorded} == {made["id"]}


def test_a_tag_that_is_hidden_stays_hidden_until_it_is_shown(tenant: Tenant) -> None:
    given = [{"tag": "staff  only", "visible": False}, {"tag": "vip"}]
    (made,) = create(tenant, {"mobile": {"number": NUMBER}, "tags": given})
    expected = [{"tag": "staff only", "visible": False}, {"tag": "vip", "visible": True}]
    path = f"/contacts/{made['id']}"
    assert tenant.get(path).json()["data"]["tags"] == expected
    tenant.put(path, json=tenant.get(path).json()["data"])
    assert tenant.get(path).json()["data"]["tags"] == expected
    tenant.put(path, json={"tags": [{"tag": "staff only", "visible": True}]})
    assert tenant.get(path).json()["data"]["tags"] == [{"tag": "staff only", "visible": True}]
