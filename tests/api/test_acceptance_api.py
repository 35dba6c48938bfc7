"""Acceptance scenarios of the product that need no phone network, word by word.

Which scenario is tried where: docs/acceptance.md.
"""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from httpx import Response
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.attack import SAMPLES, Attack
from tests.api.conftest import Tenant
from viesti.api.app import create_app
from viesti.kit.config import Settings

Pool = ConnectionPool[psycopg.Connection]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1600
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
MEBI = 2**20


# Scenario 2


def test_2_each_of_a_thousand_texts_is_made_from_its_own_contact(
    tenant: Tenant, pool: Pool
) -> None:
    special = ["O'Brien", "Zoë", "<b>", ""]
    names = special + [f"Name{n}" for n in range(4, 1_000)]
    contacts = [
        {
            "mobile": {"number": f"+1347555{n:04d}", "country": "US"},
            "firstName": name,
            "attributes": {"plan": f"P{n}"},
        }
        for n, name in enumerate(names)
    ]
    answer = tenant.post(
        "/messages",
        json={"contacts": contacts, "template": "Hi {{{contact.firstName}}}, plan {{plan}}"},
    ).json()["data"]
    assert (answer["queued"], answer["invalid"], len(answer["messages"])) == (1_000, [], 1_000)
    texts = {m["contact"]["mobile"]["number"]: m for m in answer["messages"]}
    for n, name in enumerate(names):
        message = texts[f"+1347555{n:04d}"]
        assert message["message"] == f"Hi {name}, plan P{n}"
        assert message["segments"] == 1
    with pool.connection() as conn:
        ucs2 = conn.execute(
            "SELECT message FROM messages WHERE account_id = %s AND encoding = 'ucs2'",
            (tenant.account_id,),
        ).fetchall()
    assert ucs2 == [("Hi Zoë, plan P1",)]
    prices = [round(m["price"] * 1_000) for m in answer["messages"]]
    assert sum(prices) == sum(m["segments"] * 32 for m in answer["messages"]) == 32_000
    assert answer["estimatedPrice"] == 32


# Scenario 8


def test_8_a_call_repeated_with_its_key_answers_the_same_and_writes_nothing(
    tenant: Tenant, pool: Pool
) -> None:
    attack = Attack(tenant, pool)
    key = {"Idempotency-Key": "order-17"}
    people = [{"mobile": f"+1347555{n:04d}"} for n in range(200, 203)]
    body = {"contacts": people, "template": "Once only"}
    first = tenant.post("/messages", json=body, headers=key).json()["data"]
    before = attack.rows()
    again = tenant.post("/messages", json=body, headers=key).json()["data"]
    assert again["jobId"] == first["jobId"]
    assert [m["id"] for m in again["messages"]] == [m["id"] for m in first["messages"]]
    for other in (body | {"template": "Twice"}, body | {"contacts": people[:1]}):
        answer = tenant.post("/messages", json=other, headers=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "GEN-422")
    assert attack.rows() == before


# Scenario 14


def share(tenant: Tenant, **options: Any) -> Response:
    headers = {"authorization": f"Bearer {tenant.token}", **options.pop("headers", {})}
    return tenant.http.post("/v1/tools/sharefile", headers=headers, **options)


def test_14_a_shared_picture_goes_out_as_mms_and_stands_in_the_conversation(
    tenant: Tenant,
) -> None:
    shared = share(tenant, files={"media": ("pic.png", PNG, "image/png")}).json()["data"]
    assert shared["expires"]
    sent = tenant.post(
        "/messages",
        json={
            "contacts": [{"mobile": "+13475550101"}],
            "template": "Look",
            "type": "MMS",
            "media": [{"url": shared["link"]}],
        },
    )
    assert sent.status_code == 200, sent.text
    (message,) = sent.json()["data"]["messages"]
    assert (message["type"], message["status"]) == ("mms", "queued")
    assert message["media"] == [{"url": shared["link"]}]
    # No carrier here takes MMS: the picture goes as a link (product decisions, "MMS").
    assert message["message"] == f"Look\n{shared['link']}"
    query = f"?conversationId={message['conversation']['id']}"
    (kept,) = tenant.get(f"/messages{query}").json()["data"]
    assert (kept["type"], kept["media"]) == ("mms", [{"url": shared["link"]}])
    got = tenant.http.get("/f/" + shared["link"].rpartition("/f/")[2])
    assert (got.status_code, got.content) == (200, PNG)
    assert got.headers["content-type"] == "image/png"
    assert got.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("as_form", [True, False], ids=["multipart", "octets"])
def test_14_a_video_of_twelve_megabytes_and_a_page_are_refused_with_a_reason(
    tenant: Tenant, as_form: bool
) -> None:
    for content, status, code, reason in (
        (MP4 + bytes(12 * MEBI), 413, "FILE-003", "at most 10 MB"),
        (b"<!DOCTYPE html><script>alert(1)</script>", 415, "FILE-002", "may be shared"),
    ):
        octets = {"content-type": "application/octet-stream"}
        refused = (
            share(tenant, files={"media": ("a.mp4", content, "video/mp4")})
            if as_form
            else share(tenant, content=content, headers=octets)
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert reason in refused.json()["error"]["message"]
    small = share(tenant, files={"media": ("a.mp4", MP4 + bytes(MEBI), "video/mp4")})
    assert small.status_code == 200


# Scenario 19


@dataclass(slots=True)
class Inside:
    """A server of the internal network that must see no connection."""

    port: int = 0
    seen: list[Any] = field(default_factory=list)


@pytest.fixture
def inside() -> Generator[Inside]:
    there = Inside()

    class Server(http.server.ThreadingHTTPServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            there.seen.append(client_address)
            return False

    server = Server(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    there.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield there
    server.shutdown()
    server.server_close()
    thread.join()


HOSTS = (
    "127.0.0.1",
    "[::1]",
    "169.254.169.254",
    "10.0.0.5",
    "2130706433",
    "[::ffff:127.0.0.1]",
    "localhost",
    "0x7f000001",
    "user@127.0.0.1",
    "example.org@10.0.0.5",
)


def test_19_no_url_that_leads_inside_is_taken_anywhere(
    settings: Settings, pool: Pool, tenant: Tenant, inside: Inside
) -> None:
    attack = Attack(tenant, pool)
    closed = replace(settings, rate_limit_per_s=0, allow_private=False)
    with TestClient(create_app(closed, pool), raise_server_exceptions=False) as client:
        tenant.http = client
        for host in HOSTS:
            url = f"http://{host}:{inside.port}/latest/meta-data"
            media = [{"url": "https://example.com/a.png"}, {"url": url}]
            for method, path, body in (
                ("POST", "/webhooks", {"url": url, "eventTypes": ["message-sent"]}),
                ("POST", "/webhooks", {"callbackUrl": url}),
                ("POST", "/messages", {"contacts": [{"mobile": "+13475550101"}], "media": media}),
                ("POST", "/templates", {"template": "Hi", "media": media}),
                ("POST", "/templates", {"template": "Hi", "media": [url]}),
                ("PUT", "/templates/{}", {"media": media}),
                ("POST", "/templates/preview", {"template": "Hi", "media": media}),
                ("POST", "/campaigns", {"template": "Hi", "media": media}),
                ("PUT", "/campaigns/{}", {"media": media}),
                (
                    "POST",
                    "/campaigns",
                    {"reporting": {"when": "OnCompletion", "destination": url}},
                ),
                (
                    "POST",
                    "/quickcampaigns",
                    attack.sample(("POST", "/quickcampaigns"))
                    | {"message": {"message": "Hi", "media": media}},
                ),
            ):
                answer = attack.ask(method, attack.path(path), json=body)
                assert answer.status_code == 400, (host, method, path, answer.text)
    assert inside.seen == []


def test_19_ten_thousand_nested_blocks_are_refused_within_a_second(
    tenant: Tenant, pool: Pool
) -> None:
    attack = Attack(tenant, pool)
    # The first is refused for its length; what fits the length nests as deep as it can.
    for depth in (10_000, 230):
        nested = "{{#if a}}" * depth + "x" + "{{/if}}" * depth
        for method, path, body in (
            ("POST", "/templates", {"template": nested}),
            ("PUT", "/templates/{}", {"template": nested}),
            ("POST", "/templates/preview", {"template": nested}),
            ("POST", "/campaigns", {"template": nested}),
            ("POST", "/messages", {"contacts": [{"mobile": "+13475550101"}], "template": nested}),
            (
                "POST",
                "/quickcampaigns",
                attack.sample(("POST", "/quickcampaigns")) | {"message": {"message": nested}},
            ),
        ):
            # The time of this process, for others may keep the machine busy.
            began_s = time.process_time()
            answer = attack.tenant.request(method, attack.path(path), json=body)
            assert time.process_time() - began_s < 1
            assert answer.status_code == 400
            assert answer.json()["error"]["code"].startswith("TMPL-")
    assert attack.rows() == attack.before


# Scenario 20

GONE = re.compile(r"^(date|x-request-id|ratelimit-.*)$")


def told(answer: Response, id_: str) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if not GONE.match(name)}
    return answer.status_code, answer.text.replace(id_, "ID"), headers


@pytest.fixture
def mine(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()


@pytest.fixture
def theirs(new_tenant: Callable[..., Tenant], pool: Pool) -> Attack:
    """Another account with one of each resource, its ids known to the attacker."""
    attack = Attack(new_tenant(), pool)
    attack.ids["runs"] = attack.execute()
    attack.ids["groups"] = attack.tenant.get("/groups").json()["data"][0]["id"]
    attack.before = attack.rows()
    return attack


def test_20_another_accounts_resources_look_like_none_by_path(mine: Tenant, theirs: Attack) -> None:
    tried: set[str] = set()
    for method, path in theirs.routes():
        if "{}" not in path:
            continue
        resource = path.split("/")[1]
        tried.add(resource)
        for kind in (resource, "groups", "runs"):
            id_, unknown = theirs.ids[kind], str(uuid4())
            body = SAMPLES.get((method, path), None)
            answers = [
                told(mine.request(method, path.replace("{}", name), json=body), name)
                for name in (id_, unknown)
            ]
            assert answers[0] == answers[1], (method, path, kind)
            assert answers[0][0] in (404, 400), (method, path, kind)
    assert tried >= {"contacts", "messages", "conversations", "jobs", "imports", "templates",
                     "campaigns", "lists", "webhooks"}  # fmt: skip
    assert theirs.rows() == theirs.before


def test_20_another_accounts_resources_look_like_none_in_a_body(
    mine: Tenant, theirs: Attack
) -> None:
    ids = theirs.ids
    own = mine.post("/lists", json={"name": "Own"}).json()["data"]["id"]
    someone = [{"mobile": "+13475550177"}]

    def calls(given: dict[str, str]) -> list[tuple[str, Any]]:
        group = {"group": {"id": given["groups"]}}
        return [
            ("/messages", {"template": "a", "contacts": [{"id": given["contacts"]}]}),
            ("/messages", {"template": "b", "conversations": [given["conversations"]]}),
            ("/messages", {"template": "c", "filters": {"list": given["lists"]}}),
            ("/messages", {"template": "d", "filters": {"contacts": [given["contacts"]]}}),
            ("/messages", {"template": "e", "contacts": someone, "phoneNumberFilter": group}),
            ("/templates/preview", {"templateId": given["templates"]}),
            ("/templates/preview", {"template": "f", "contactId": given["contacts"]}),
            ("/quickcampaigns", {"listId": given["lists"], "message": {"message": "g"}}),
            (f"/lists/{own}/contacts", {"contacts": [given["contacts"]]}),
        ]

    unknown = {name: str(uuid4()) for name in ids}
    for (path, foreign), (_, none) in zip(calls(ids), calls(unknown), strict=True):
        answers = [mine.post(path, json=body) for body in (foreign, none)]
        assert answers[0].status_code == answers[1].status_code, (path, answers[0].text)
        shapes = [neutral(answer.text, [*ids.values(), *unknown.values()]) for answer in answers]
        assert shapes[0] == shapes[1], path
    assert theirs.rows() == theirs.before
    for resource in ("contacts", "messages", "conversations", "campaigns", "templates", "lists"):
        for row in mine.get(f"/{resource}?limit=100").json()["data"]:
            assert row["id"] not in ids.values()


UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def neutral(text: str, ids: list[str]) -> str:
    """``text`` without what differs from call to call."""
    for id_ in ids:
        text = text.replace(id_, "ID")
    return MOMENT.sub("MOMENT", UUID_TEXT.sub("NEW", text))


def test_20_another_account_is_refused_with_the_same_words_as_none(
    mine: Tenant, theirs: Attack
) -> None:
    headers = {"authorization": f"Bearer {mine.token}"}
    for method, path in theirs.routes():
        body = SAMPLES.get((method, path), None)
        answers = [
            told(
                mine.http.request(
                    method, f"/v1/accounts/{account}{theirs.path(path)}", headers=headers, json=body
                ),
                str(account),
            )
            for account in (theirs.tenant.account_id, uuid4(), "nonsense")
        ]
        assert answers[0] == answers[1] == answers[2], (method, path)
        assert answers[0][0] == 404
    assert theirs.rows() == theirs.before
