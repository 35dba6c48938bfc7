"""Lists: made, filled by hand or by a filter, and met in contacts, filters and sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant


def people(tenant: Tenant, **more: Any) -> list[str]:
    given = [{"mobile": f"+121220000{n:02d}", "firstName": f"Ada{n}", **more} for n in range(4)]
    return [one["id"] for one in tenant.post("/contacts", json=given).json()["data"]]


def names(tenant: Tenant, query: str) -> list[str]:
    answer = tenant.get(f"/contacts?{query}").json()
    assert answer["pagination"]["totalCount"] == len(answer["data"])
    return [one["firstName"] for one in answer["data"]]


def test_a_list_is_made_changed_and_removed(tenant: Tenant) -> None:
    made = tenant.post(
        "/lists",
        json={
            "name": " Club  news ",
            "keyword": "join",
            "doubleOptIn": {"enabled": True, "prompt": "Sure?"},
        },
    )
    assert made.status_code == 201
    club = made.json()["data"]
    assert (club["name"], club["keyword"]) == ("Club news", "JOIN")
    assert club["doubleOptIn"] == {"enabled": True, "prompt": "Sure?"}
    assert tenant.get(f"/lists/{club['id']}").json()["data"] == club
    again = tenant.post("/lists", json={"name": "Club news"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "LIST-002")
    changed = tenant.put(f"/lists/{club['id']}", json={"name": "News", "doubleOptIn": None})
    assert changed.json()["data"]["doubleOptIn"] == {"enabled": False}
    assert tenant.put(f"/lists/{club['id']}").json()["data"]["name"] == "News"
    assert [one["name"] for one in tenant.get("/lists?name=ew").json()["data"]] == ["News"]
    assert tenant.get("/lists?name=x").json()["data"] == []
    assert tenant.get("/lists?offset=5").json()["pagination"]["totalCount"] == 1
    assert tenant.delete(f"/lists/{club['id']}").status_code == 200
    gone = tenant.get(f"/lists/{club['id']}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "LIST-001")


def test_contacts_are_added_and_taken_off_and_show_their_lists(tenant: Tenant) -> None:
    ids = people(tenant)
    club = tenant.post("/lists", json={"name": "Club"}).json()["data"]["id"]
    path = f"/lists/{club}/contacts"
    added = tenant.post(path, json={"contacts": [ids[0], {"id": ids[2]}, "unknown"]})
    assert added.json()["data"] == {"added": 2}
    assert tenant.post(path, json={"contacts": [ids[0]]}).json()["data"] == {"added": 0}
    assert names(tenant, f"list={club}") == ["Ada0", "Ada2"]
    shown = tenant.get(f"/contacts/{ids[0]}").json()["data"]
    assert shown["lists"] == [{"id": club, "name": "Club"}]
    assert "lists" not in tenant.get(f"/contacts/{ids[1]}").json()["data"]
    removed = tenant.put(f"{path}/remove", json={"contacts": [ids[0], ids[1]]})
    assert removed.json()["data"] == {"removed": 1}
    # A deleted contact leaves its lists.
    tenant.delete(f"/contacts/{ids[2]}")
    assert names(tenant, f"list={club}") == []
    assert names(tenant, "list=unknown") == []


def test_a_contact_names_its_lists_when_it_is_written(tenant: Tenant) -> None:
    club = tenant.post("/lists", json={"name": "Club"}).json()["data"]["id"]
    news = tenant.post("/lists", json={"name": "News"}).json()["data"]["id"]
    made = tenant.post("/contacts", json={"mobile": "+12122000001", "lists": ["Club"]})
    contact = made.json()["data"][0]
    assert contact["lists"] == [{"id": club, "name": "Club"}]
    # Created again, lists are added; updated, those given replace the stored ones.
    tenant.post("/contacts", json={"mobile": "+12122000001", "lists": [{"id": news}]})
    path = f"/contacts/{contact['id']}"
    both = tenant.get(path).json()["data"]
    assert [one["name"] for one in both["lists"]] == ["Club", "News"]
    assert tenant.put(path, json=both).json()["data"]["lists"] == both["lists"]
    assert tenant.put(path, json={"firstName": "Ada"}).json()["data"]["lists"] == both["lists"]
    kept = tenant.put(path, json={"lists": [news]}).json()["data"]
    assert [one["name"] for one in kept["lists"]] == ["News"]
    assert "lists" not in tenant.put(path, json={"lists": []}).json()["data"]
    refused = tenant.post("/contacts", json={"mobile": "+12122000009", "lists": ["Nobody's"]})
    assert refused.status_code == 400
    assert tenant.get("/contacts").json()["pagination"]["totalCount"] == 1


def test_a_list_with_a_filter_holds_whom_it_matches_now(tenant: Tenant) -> None:
    ids = people(tenant, tags=["vip"])
    made = tenant.post("/lists", json={"name": "Vips", "filter": {"tags": ["vip"], "q": "ada"}})
    vips = made.json()["data"]["id"]
    assert names(tenant, f"list={vips}") == ["Ada0", "Ada1", "Ada2", "Ada3"]
    tenant.put(f"/contacts/{ids[1]}", json={"tags": []})
    assert names(tenant, f"list={vips}") == ["Ada0", "Ada2", "Ada3"]
    assert names(tenant, f"list={vips}&firstName=ada3") == ["Ada3"]
    refused = tenant.post(f"/lists/{vips}/contacts", json={"contacts": ids})
    assert refused.status_code == 400
    # A list may build on another; a circle of lists holds nobody, and ends.
    inner = tenant.post("/lists", json={"name": "In", "filter": {"list": vips, "mobile": "2000"}})
    assert len(names(tenant, f"list={inner.json()['data']['id']}")) == 3
    tenant.put(f"/lists/{vips}", json={"filter": {"list": inner.json()["data"]["id"]}})
    assert names(tenant, f"list={vips}") == []


@pytest.mark.parametrize(
    "word", ["Stop.", "start", "HELP", "info", "arrêt", "yes", "y", "stop all", "!?", "x" * 41]
)
def test_a_keyword_that_consent_needs_or_nobody_can_write_is_refused(
    tenant: Tenant, word: str
) -> None:
    answer = tenant.post("/lists", json={"name": "Club", "keyword": word})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "LIST-003")
    assert tenant.get("/lists").json()["data"] == []


def test_a_keyword_is_kept_as_it_is_compared_and_one_lists_alone(
    new_tenant: Callable[..., Tenant],
) -> None:
    tenant = new_tenant()
    club = tenant.post("/lists", json={"name": "Club", "keyword": " Join  us! "}).json()["data"]
    assert club["keyword"] == "JOIN US"
    taken = tenant.post("/lists", json={"name": "News", "keyword": "join us"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "LIST-004")
    news = tenant.post("/lists", json={"name": "News", "keyword": "news"}).json()["data"]
    taken = tenant.put(f"/lists/{news['id']}", json={"keyword": "Join us"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "LIST-004")
    assert new_tenant().post("/lists", json={"name": "A", "keyword": "join us"}).status_code == 201
    assert "keyword" not in tenant.put(f"/lists/{club['id']}", json={"keyword": ""}).json()["data"]
    assert tenant.put(f"/lists/{news['id']}", json={"keyword": "Join us"}).status_code == 200


def test_nobody_joins_a_list_with_a_filter_by_keyword(tenant: Tenant) -> None:
    whom = {"tags": ["vip"]}
    refused = tenant.post("/lists", json={"name": "Vips", "keyword": "vip", "filter": whom})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "LIST-003")
    vips = tenant.post("/lists", json={"name": "Vips", "keyword": "vip"}).json()["data"]["id"]
    refused = tenant.put(f"/lists/{vips}", json={"filter": whom})
    assert refused.json()["error"]["code"] == "LIST-003"
    changed = tenant.put(f"/lists/{vips}", json={"filter": whom, "keyword": None})
    assert changed.json()["data"]["filter"] == whom


@pytest.mark.parametrize(
    "texts",
    [
        {"optInConfirmation": "Hi {{firstName"},
        {"doubleOptIn": {"enabled": True, "prompt": "{{#if a}}"}},
    ],
)
def test_texts_of_a_list_that_cannot_be_parsed_are_refused(
    tenant: Tenant, texts: dict[str, Any]
) -> None:
    answer = tenant.post("/lists", json={"name": "Club", **texts})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "TMPL-001")


def test_no_call_writes_consent_or_takes_an_opt_out_back(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    [contact, *_] = people(tenant)
    club = tenant.post("/lists", json={"name": "Club"}).json()["data"]["id"]
    dated = {"id": club, "optIn": "2026-01-01T00:00:00.000Z", "optOut": "2026-01-01T00:00:00.000Z"}
    path = f"/contacts/{contact}"
    assert tenant.put(path, json={"lists": [dated]}).json()["data"]["lists"] == [
        {"id": club, "name": "Club"}
    ]
    with pool.connection() as conn:
        conn.execute("UPDATE list_members SET opt_out_at = '2026-03-01T10:00:00Z'")
    shown = [{"id": club, "name": "Club", "optOut": "2026-03-01T10:00:00.000Z"}]
    assert tenant.get(path).json()["data"]["lists"] == shown
    assert names(tenant, f"list={club}") == []
    # Taken off and added again, it is still one that opted out.
    removed = tenant.put(f"/lists/{club}/contacts/remove", json={"contacts": [contact]})
    assert removed.json()["data"] == {"removed": 0}
    tenant.put(path, json={"lists": []})
    tenant.post(f"/lists/{club}/contacts", json={"contacts": [contact]})
    tenant.put(path, json={"lists": ["Club"]})
    assert tenant.get(path).json()["data"]["lists"] == shown
    assert names(tenant, f"list={club}") == []


def test_another_number_is_not_on_the_lists_that_the_old_one_joined(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    [contact, *_] = people(tenant)
    lists = [tenant.post("/lists", json={"name": n}).json()["data"]["id"] for n in "ABC"]
    path = f"/contacts/{contact}"
    tenant.put(path, json={"lists": lists})
    with pool.connection() as conn:
        conn.execute("UPDATE list_members SET opt_in_at = now() WHERE list_id != %s", lists[:1])
        conn.execute("UPDATE list_members SET opt_out_at = now() WHERE list_id = %s", lists[2:])
        conn.execute(
            "INSERT INTO list_prompts (account_id, contact_id, list_id, asked_at)"
            " SELECT account_id, contact_id, list_id, created_at FROM list_members"
        )
    assert len(tenant.put(path, json={"firstName": "Eve"}).json()["data"]["lists"]) == 3
    changed = tenant.put(path, json={"mobile": "+12122009999"}).json()["data"]
    assert [one["name"] for one in changed["lists"]] == ["A", "C"]
    with pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM list_prompts").fetchone() == (0,)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\x00"},
        {"name": "a", "filter": {}},
        {"name": "a", "filter": {"attributes": ["nothing"]}},
        {"name": "a", "keyword": 1},
        [],
    ],
)
def test_a_list_that_cannot_be_kept_is_refused(tenant: Tenant, body: Any) -> None:
    answer = tenant.post("/lists", json=body)
    assert answer.status_code == 400
    assert tenant.get("/lists").json()["data"] == []


def test_another_accounts_list_looks_like_none(new_tenant: Callable[..., Tenant]) -> None:
    mine, theirs = new_tenant(), new_tenant()
    ids = people(mine)
    club = mine.post("/lists", json={"name": "Club"}).json()["data"]["id"]
    mine.post(f"/lists/{club}/contacts", json={"contacts": ids})
    for answer in (
        theirs.get(f"/lists/{club}"),
        theirs.put(f"/lists/{club}", json={"name": "x"}),
        theirs.delete(f"/lists/{club}"),
        theirs.post(f"/lists/{club}/contacts", json={"contacts": ids}),
        theirs.put(f"/lists/{club}/contacts/remove", json={"contacts": ids}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "LIST-001")
    assert theirs.get(f"/contacts?list={club}").json()["data"] == []
    own = theirs.post("/lists", json={"name": "Club"}).json()["data"]["id"]
    assert theirs.post(f"/lists/{own}/contacts", json={"contacts": ids}).json()["data"] == {
        "added": 0
    }
