"""Pages of every list, and what is refused at their edges."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.api.conftest import Tenant

LISTS = ["/contacts", "/messages", "/conversations", "/webhooks"]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_all_four_fields_and_the_same_edges(tenant: Tenant, path: str) -> None:
    page = {"offset": 0, "limit": 25, "totalCount": 0, "hasNext": False}
    assert tenant.get(path).json() == {"success": True, "data": [], "pagination": page}
    for query in ("limit=100", "limit=1", "offset=0", f"offset={2**63 - 1}", "limit=&offset="):
        assert tenant.get(f"{path}?{query}").status_code == 200
    for query in (
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=1e1",
        "limit=%D9%A1",  # a digit, but not of ASCII
        "limit=NaN",
        "limit=" + "9" * 5000,
        "offset=-1",
        f"offset={2**63}",
        "offset=x",
        "offset=%00",
    ):
        answer = tenant.get(f"{path}?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["error"]["code"] == "GEN-400"


def test_a_page_is_cut_where_it_is_asked_for(tenant: Tenant) -> None:
    tenant.post("/contacts", json=[{"mobile": f"+1212200{n:04d}"} for n in range(130)])
    answer = tenant.get("/contacts?limit=100&offset=20").json()
    assert answer["pagination"] == {
        "offset": 20,
        "limit": 100,
        "totalCount": 130,
        "hasNext": True,
        "after": answer["data"][-1]["id"],
    }
    assert len(answer["data"]) == 100
    last = tenant.get("/contacts?limit=100&offset=120").json()
    assert len(last["data"]) == 10
    assert last["pagination"]["hasNext"] is False
    beyond = tenant.get("/contacts?offset=500").json()
    assert (beyond["data"], beyond["pagination"]["hasNext"]) == ([], False)


def test_no_row_comes_twice_while_new_ones_arrive(tenant: Tenant) -> None:
    tenant.post("/contacts", json=[{"mobile": f"+1212200{n:04d}"} for n in range(60)])
    seen: list[str] = []
    for offset in range(0, 60, 20):
        page = tenant.get(f"/contacts?limit=20&offset={offset}").json()
        seen += [contact["id"] for contact in page["data"]]
        tenant.post("/contacts", json={"mobile": f"+1212300{offset:04d}"})
    assert len(seen) == len(set(seen)) == 60


@pytest.mark.parametrize("path", ["/contacts", "/messages", "/conversations"])
def test_a_walk_gives_every_row_that_was_there_once_and_in_order(tenant: Tenant, path: str) -> None:
    people = [{"mobile": f"+1212200{n:04d}"} for n in range(25)]
    tenant.post("/messages", json={"contacts": people, "template": "Hello"})
    there = [row["id"] for row in tenant.get(f"{path}?limit=100").json()["data"]]
    walked: list[str] = []
    after = ""
    while True:
        page = tenant.get(f"{path}?limit=7&after={after}").json()
        walked += [row["id"] for row in page["data"]]
        # Whatever comes and goes meanwhile moves nothing.
        number = {"mobile": f"+1212300{len(walked):04d}"}
        tenant.post("/messages", json={"contacts": [number], "template": f"Hi {len(walked)}"})
        if not page["pagination"]["hasNext"]:
            break
        after = page["pagination"]["after"]
    assert len(there) == 25
    assert [row for row in walked if row in there] == there
    assert len(walked) == len(set(walked))
    for bad in ("x", "1", "%00", tenant.client_id[:-1]):
        assert tenant.get(f"{path}?after={bad}").status_code == 400


def test_a_total_beyond_what_is_counted_is_marked(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viesti.domain.contacts.queries.EXACT_TO", 5)
    people = [{"mobile": f"+1212200{n:04d}", "firstName": f"Ada{n}"} for n in range(12)]
    tenant.post("/contacts", json=people)
    seen: list[str] = []
    for offset in (0, 5, 10):
        answer = tenant.get(f"/contacts?firstName=ada&limit=5&offset={offset}")
        assert answer.headers["x-total-count-estimated"] == "true"
        page = answer.json()
        assert page["pagination"]["totalCount"] == 12
        assert page["pagination"]["hasNext"] == (offset < 10)
        seen += [row["firstName"] for row in page["data"]]
    assert seen == [f"Ada{n}" for n in range(12)]
    exact = tenant.get("/contacts?firstName=ada1&limit=2")
    assert "x-total-count-estimated" not in exact.headers
    assert exact.json()["pagination"]["totalCount"] == 3


def test_a_list_that_takes_too_long_is_given_up(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(conn: psycopg.Connection, *_args: object) -> None:
        conn.execute("SELECT pg_sleep(30)")

    monkeypatch.setattr("viesti.api.database.LOOK_WITHIN_S", 0.05)
    monkeypatch.setattr("viesti.api.v1.contacts.list_contacts", sleep)
    answer = tenant.get("/contacts")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "GEN-503")
    assert "narrow" in answer.json()["error"]["message"]


def test_a_large_limit_is_taken_for_groups(new_tenant: Callable[..., Tenant]) -> None:
    tenant = new_tenant()
    answer = tenant.get("/groups?admin=1&limit=500").json()
    (group,) = answer["data"]
    assert group["isDefault"] is True
    assert [number["number"] for number in group["phoneNumbers"]] == [tenant.sender]
