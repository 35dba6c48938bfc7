"""Asks for every route on behalf of one tenant, and judges each answer.

The routes are read from the running application: one that is new must bring a sample here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg
from httpx import Response
from litestar.routes import HTTPRoute
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.errors import CATALOGUE
from viesti.db.tables import Kind, metadata
from viesti.kit.clock import iso, utc_now
from viesti.kit.codes import EMBEDDED

Pool = ConnectionPool[psycopg.Connection]
Route = tuple[str, str]

PREFIX = "/v1/accounts/{account_id:str}"
JSON = {"content-type": "application/json"}
PHONE = "+13475550101"
FILTER = {
    "contacts": ["x"],
    "tags": ["a", {"tag": "b", "visible": True}],
    "attributes": ["plan=gold", {"attribute": "age", "comparator": ">", "value": ["20"]}],
    "list": None,
    "q": "ann",
    "valid": True,
}
MEDIA = [{"url": "https://example.com/a.png"}]
CONTACT = {
    "id": None,
    "mobile": {"number": PHONE, "country": "US"},
    "firstName": "Ann",
    "lastName": "Ng",
    "email": "ann@example.com",
    "attributes": {"plan": "gold"},
    "tags": ["a", {"tag": "b", "visible": True}],
    "lists": [],
}
TEMPLATE = {"name": "T", "template": "Hi {{firstName}}", "type": "SMS", "media": MEDIA}
CAMPAIGN = {
    "name": "C",
    "description": "d",
    "template": "Hi",
    "trigger": {"code": "S"},
    "filters": FILTER,
    "media": MEDIA,
    "phoneNumberFilter": {"group": {"id": "x"}},
    "schedule": {"frequency": "W", "timezone": "America/New_York", "cron": "0 9 * * mon"},
    "nextExecution": None,
    "fieldMappings": [{"attribute": "mobile", "column": "Phone", "mandatory": True}],
    "reporting": {
        "when": "Delayed",
        "delay": "2",
        "unit": "hours",
        "destination": "https://example.com/report",
    },
}
LIST = {
    "name": "L",
    "keyword": "JOIN",
    "doubleOptIn": {"enabled": True, "prompt": "Sure?"},
    "optInConfirmation": "You are on it",
}
# A body of each field that a route reads; None: it reads none, or a file.
SAMPLES: dict[Route, Any] = {
    ("POST", "/contacts"): CONTACT,
    ("PUT", "/contacts/{}"): CONTACT,
    ("POST", "/messages"): {
        "contacts": [{"mobile": PHONE}],
        "conversations": [],
        "filters": FILTER,
        "phoneNumberFilter": {"group": {"id": None}},
        "template": "Hi {{firstName}}",
        "type": "SMS",
        "media": MEDIA,
        "conversationStrategy": "reuse",
        "sendAt": iso(utc_now() + timedelta(days=3)),
    },
    ("POST", "/webhooks"): {
        "url": "https://hooks.example.com/a",
        "callbackUrl": "https://hooks.example.com/b",
        "eventTypes": ["message-sent"],
    },
    ("POST", "/templates"): TEMPLATE,
    ("PUT", "/templates/{}"): TEMPLATE,
    ("POST", "/templates/preview"): TEMPLATE
    | {
        "templateId": None,
        "contactId": None,
        "contact": {"firstName": "Ann", "attributes": {"a": 1}},
    },
    ("POST", "/campaigns"): CAMPAIGN,
    ("PUT", "/campaigns/{}"): CAMPAIGN | {"filters": {"tags": ["a"]}},
    ("POST", "/quickcampaigns"): {
        "name": "Q",
        "groupId": None,
        "listId": "{list}",
        "message": {"message": "Hi", "media": MEDIA},
        "sendAt": iso(utc_now() + timedelta(days=3)),
    },
    ("POST", "/lists"): LIST,
    ("POST", "/lists/{}/contacts"): {"contacts": ["{contact}"]},
    ("PUT", "/lists/{}/contacts/remove"): {"contacts": ["{contact}"]},
    ("PUT", "/lists/{}"): {"name": "M", "filter": {"tags": ["a"]}},
    ("PUT", "/conversations/{}/close"): None,
    ("POST", "/campaigns/{}/execute"): None,
    ("POST", "/campaigns/{}/pause"): None,
    ("POST", "/campaigns/{}/resume"): None,
    ("POST", "/campaigns/{}/cancel"): None,
    ("POST", "/campaigns/{}/file"): None,
    ("POST", "/imports/{}/cancel"): None,
}
TENANT = [t.name for t in metadata.sorted_tables if t.info["kind"] is Kind.TENANT]
# Of a table its name, how many rows it has, and what they say.
ROWS = " UNION ALL ".join(
    f"SELECT '{name}', count(*), md5(string_agg(t::text, '|' ORDER BY t::text))"
    f' FROM "{name}" t WHERE account_id = %(account)s'
    for name in TENANT
)


def routes(tenant: Tenant) -> Iterator[Route]:
    """(method, path below the account) of everything that is served, parameters as ``{}``."""
    for route in tenant.http.app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(PREFIX):
            for method in sorted(route.methods - {"OPTIONS", "HEAD"}):
                yield method, re.sub(r"\{[^}]+\}", "{}", route.path.removeprefix(PREFIX))


class Attack:
    """Asks on behalf of a tenant that has one of each resource, and judges each answer."""

    def __init__(self, tenant: Tenant, pool: Pool) -> None:
        self.tenant = tenant
        self._pool = pool
        contact = self._made("/contacts", {"mobile": PHONE, "tags": ["a"]})[0]["id"]
        sent = self._made("/messages", {"contacts": [{"mobile": PHONE}], "template": "Hello"})
        rows = "Mobile\n" + "".join(f"+1212{2_000_000 + n}\n" for n in range(10_001))
        large = tenant.post("/contacts", content=rows, headers={"content-type": "text/csv"})
        list_ = self._made("/lists", {"name": "Base"})["id"]
        webhook = "https://hooks.example.com/mine"
        self._made("/webhooks", {"url": webhook, "eventTypes": ["contact-opt-out"]})
        self._named = {"{contact}": contact, "{list}": list_}
        self.ids = {
            "contacts": contact,
            "messages": sent["messages"][0]["id"],
            "conversations": sent["messages"][0]["conversation"]["id"],
            "jobs": sent["jobId"],
            "imports": large.json()["data"]["jobId"],
            "templates": self._made("/templates", TEMPLATE)[0]["id"],
            "campaigns": self._made("/campaigns", {"name": "C", "template": "Hi"})["id"],
            "lists": list_,
            "webhooks": quote(webhook, safe=""),
        }
        self.before = self.rows()

    def _made(self, path: str, body: Any) -> Any:
        answer = self.tenant.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    def path(self, path: str) -> str:
        """``path`` with the id of a resource that is there."""
        return path.replace("{}", self.ids[path.split("/")[1]]) if "{}" in path else path

    def routes(self) -> list[Route]:
        return list(routes(self.tenant))

    def execute(self) -> str:
        """Run the campaign once; the run's id."""
        filled = {"filters": {"tags": ["a"]}}
        path = f"/campaigns/{self.ids['campaigns']}"
        assert self.tenant.put(path, json=filled).status_code == 200
        assert self.tenant.post(f"{path}/execute").status_code == 200
        (run,) = self.tenant.get(f"{path}/runs").json()["data"]
        id_: str = run["id"]
        return id_

    def sample(self, route: Route) -> Any:
        text = json.dumps(SAMPLES[route])
        for name, id_ in self._named.items():
            text = text.replace(name, id_)
        return json.loads(text)

    def rows(self) -> list[tuple[Any, ...]]:
        with self._pool.connection() as conn:
            return conn.execute(ROWS.encode(), {"account": self.tenant.account_id}).fetchall()

    def ask(self, method: str, path: str, **options: Any) -> Response:
        """The answer; what is refused is refused properly and has changed nothing."""
        answer = self.tenant.request(method, path, **options)
        said = (method, path[:200], str(options)[:300], answer.text[:500])
        assert answer.status_code < 500, said
        if answer.status_code >= 400:
            code = answer.json()["error"]["code"]
            assert CATALOGUE[code].status in (answer.status_code, EMBEDDED), said
            assert len(answer.content) < 2000, said
            assert "Traceback" not in answer.text, said
            if method != "GET":
                assert self.rows() == self.before, said
        elif method != "GET" or "/campaigns" in path:  # who looks at a run brings it up to date
            self.before = self.rows()
        return answer

    def send(self, route: Route, content: bytes, headers: dict[str, str] = JSON) -> Response:
        return self.ask(route[0], self.path(route[1]), content=content, headers=headers)
