"""Groups over the API, as clients in use ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.domain.groups.models import Group
from viesti.domain.groups.service import add_reader, create_group, move_sender
from viesti.domain.senders.service import add_sender
from viesti.domain.users.models import Role
from viesti.domain.users.service import add_user
from viesti.kit.clock import utc_now

LONDON = "+442071838750"
NUMBER = "+13475550101"

Pool = ConnectionPool[psycopg.Connection]


def add_number(pool: Pool, tenant: Tenant, number: str, group: Group | None = None) -> None:
    with pool.connection() as conn:
        add_sender(
            conn,
            account_id=tenant.account_id,
            number=number,
            carrier_name="simulator",
            now=utc_now(),
        )
        if group is not None:
            move_sender(conn, tenant.account_id, str(group.id), number, utc_now())


def make_group(pool: Pool, tenant: Tenant, name: str = "Sales", **options: Any) -> Group:
    with pool.connection() as conn:
        return create_group(conn, tenant.account_id, name=name, now=utc_now(), **options)


def send(
    tenant: Tenant, mobile: str, group: str | None = None, text: str = "Hello"
) -> dict[str, Any]:
    body: dict[str, Any] = {"contacts": [{"mobile": mobile}], "template": text}
    if group is not None:
        body["phoneNumberFilter"] = {"group": {"id": group}}
    answer = tenant.post("/messages", json=body)
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["data"]["messages"][0]
    return message


def test_an_account_has_a_default_group_by_its_own_id(tenant: Tenant) -> None:
    answer = tenant.get("/groups?admin=1&limit=500")
    assert answer.status_code == 200
    body = answer.json()
    assert body["pagination"] == {"offset": 0, "limit": 500, "totalCount": 1, "hasNext": False}
    (group,) = body["data"]
    called = {"id": str(tenant.account_id), "name": "Default"}
    (number,) = group.pop("phoneNumbers")
    (sender,) = group.pop("senders")
    assert group == called | {
        "tags": [],
        "isDefault": True,
        "useSharedPool": False,
        "users": [],
        "notifications": [],
        "created": group["created"],
        "updated": group["updated"],
    }
    assert number == {
        "id": sender["id"],
        "status": "active",
        "number": tenant.sender,
        "country": "US",
        "type": "long_code",
        "provider": "simulator",
        "verified": True,
        "groups": [called],
        "channels": {"sms": {"active": True}},
    }
    assert sender["identifier"] == tenant.sender
    assert tenant.get("/groups?limit=501").status_code == 400
    assert tenant.get("/groups?offset=9223372036854775807").json()["data"] == []


def test_a_group_shows_its_own_senders_users_and_tags(tenant: Tenant, pool: Pool) -> None:
    group = make_group(pool, tenant, tags=["vip", "vip", " b2b "], use_shared_pool=True)
    add_number(pool, tenant, LONDON, group)
    with pool.connection() as conn:
        user = add_user(
            conn,
            account_id=tenant.account_id,
            email="Ada@Example.org",
            role=Role.CAMPAIGN_MANAGER,
            first_name="Ada",
            last_name="Quill",
            mobile="+447400123456",
            now=utc_now(),
        )
        add_reader(conn, tenant.account_id, str(group.id), user.id, utc_now())
    default, sales = tenant.get("/groups").json()["data"]
    assert default["isDefault"] is True
    assert [number["number"] for number in default["phoneNumbers"]] == [tenant.sender]
    assert (sales["id"], sales["name"]) == (str(group.id), "Sales")
    assert (sales["tags"], sales["isDefault"], sales["useSharedPool"]) == (
        ["vip", "b2b"],
        False,
        True,
    )
    assert [number["number"] for number in sales["phoneNumbers"]] == [LONDON]
    assert sales["users"] == [
        {
            "id": str(user.id),
            "firstName": "Ada",
            "lastName": "Quill",
            "email": "ada@example.org",
            "role": "Campaign Manager",
            "mobile": {"number": "+447400123456", "country": "GB"},
        }
    ]


def test_groups_of_another_account_are_not_shown(
    new_tenant: Callable[..., Tenant], pool: Pool
) -> None:
    mine, theirs = new_tenant(), new_tenant()
    group = make_group(pool, theirs)
    assert [row["id"] for row in mine.get("/groups").json()["data"]] == [str(mine.account_id)]
    body = {
        "contacts": [{"mobile": NUMBER}],
        "template": "Hello",
        "phoneNumberFilter": {"group": {"id": str(group.id)}},
    }
    answer = mine.post("/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "GRP-001")


def test_texts_and_conversations_show_their_senders_group(tenant: Tenant, pool: Pool) -> None:
    group = make_group(pool, tenant)
    add_number(pool, tenant, LONDON, group)
    message = send(tenant, "+447400123456", str(group.id))
    called = {"id": str(group.id), "name": "Sales"}
    assert message["phoneNumber"] == LONDON
    assert message["group"] == called
    assert tenant.get(f"/messages/{message['id']}").json()["data"]["group"] == called
    conversation = tenant.get(f"/conversations/{message['conversation']['id']}").json()["data"]
    assert conversation["group"] == called
    assert conversation["lastMessage"]["group"] == called
    other = send(tenant, NUMBER)
    assert other["group"] == {"id": str(tenant.account_id), "name": "Default"}


def test_a_text_that_no_sender_could_carry_is_in_the_default_group(
    tenant: Tenant, pool: Pool
) -> None:
    group = make_group(pool, tenant)
    message = send(tenant, NUMBER, str(group.id))
    assert (message["status"], message["error"]["code"]) == ("error", "MSG-001")
    assert message["group"]["id"] == str(tenant.account_id)


@pytest.mark.parametrize("unknown", ["0190a0a0-0000-7000-8000-000000000000", "nonsense", "*"])
def test_a_send_by_an_unknown_group_is_refused_as_a_whole(tenant: Tenant, unknown: str) -> None:
    body = {
        "contacts": [{"mobile": NUMBER}],
        "template": "Hello",
        "phoneNumberFilter": {"group": {"id": unknown}},
    }
    answer = tenant.post("/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "GRP-001")
    assert tenant.get("/messages").json()["data"] == []
    assert tenant.get("/contacts").json()["data"] == []


@pytest.mark.parametrize(
    "narrow",
    [{"group": {"id": None}}, {"group": {}}, {"group": None}, {}, None, {"group": {"id": ""}}],
)
def test_a_filter_that_names_no_group_narrows_nothing(tenant: Tenant, narrow: Any) -> None:
    body = {
        "contacts": [{"mobile": NUMBER}],
        "template": "Hello",
        "phoneNumberFilter": narrow,
    }
    data = tenant.post("/messages", json=body).json()["data"]
    assert data["messages"][0]["phoneNumber"] == tenant.sender


def test_the_default_groups_id_goes_on_working(tenant: Tenant) -> None:
    message = send(tenant, NUMBER, str(tenant.account_id))
    assert message["phoneNumber"] == tenant.sender


def test_an_open_conversations_sender_comes_before_the_groups(tenant: Tenant, pool: Pool) -> None:
    group = make_group(pool, tenant)
    add_number(pool, tenant, LONDON, group)
    first = send(tenant, NUMBER)
    again = send(tenant, NUMBER, str(group.id))
    assert again["phoneNumber"] == tenant.sender
    assert again["conversation"] == first["conversation"]


def test_of_several_open_conversations_the_groups_own_is_continued(
    tenant: Tenant, pool: Pool
) -> None:
    group = make_group(pool, tenant)
    add_number(pool, tenant, LONDON, group)
    own = send(tenant, "+447400123456", str(group.id))
    tenant.put(f"/conversations/{own['conversation']['id']}/close")
    with pool.connection() as conn:
        conn.execute("UPDATE senders SET active = false WHERE number = %s", (LONDON,))
    send(tenant, "+447400123456", text="By the default sender")
    with pool.connection() as conn:
        conn.execute("UPDATE senders SET active = true WHERE number = %s", (LONDON,))
        conn.execute("UPDATE conversations SET closed_at = NULL")
    # Now two are open; the default sender's was written in last.
    assert len(tenant.get("/conversations").json()["data"]) == 2
    message = send(tenant, "+447400123456", str(group.id), "Third")
    assert message["phoneNumber"] == LONDON
    assert message["conversation"] == own["conversation"]
