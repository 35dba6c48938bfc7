"""Requests that no honest client sends: each is refused with a reason, none is a 500."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.app import create_app
from viesti.kit.config import Settings

Http = TestClient[Litestar]
JSON = {"content-type": "application/json"}
WRITES = ["/contacts", "/messages", "/webhooks"]


UNUSABLE = [
    b"",
    b"{",
    b"nonsense",
    b"{} {}",
    b"7",
    b'"text"',
    b"NaN",
    b"\xff\xfe{}",
    b'{"mobile": "\xff"}',
    b'{"mobile": "\\ud800"}',
    b'{"mobile": "\\udc00x", "url": "\\udc00", "template": "\\udc00"}',
    b'{"mobile": "+13475550101", "firstName": "a\\u0000b", "url": "\\u0000"}',
    b'{"mobile": "+13475550101", "attributes": {"\\u0000": 1}}',
    b'{"mobile": "+13475550101\x00"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"mobile": "+13475550101", "attributes": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}",
    b'{"mobile": "+13475550101", "attributes": {"x": 1e999}}',
    b'{"mobile": "+13475550101", "attributes": {"x": 1' + b"0" * 6000 + b"}}",
    b'{"mobile": 1' + b"0" * 4000 + b"}",
    b'{"id": 1' + b"0" * 500 + b', "mobile": {"number": [], "country": 7}}',
    b'{"mobile": {"number": "+13475550101", "country": {}}}',
    b'{"contacts": {"mobile": 1}, "eventTypes": {}, "tags": {}, "mobile": []}',
]


@pytest.mark.parametrize("path", WRITES)
def test_a_body_that_cannot_be_used_is_refused(tenant: Tenant, path: str) -> None:
    # In one test, for each test has a database of its own.
    for body in UNUSABLE:
        answer = tenant.post(path, content=body, headers=JSON)
        assert answer.status_code == 400, body[:100]
        assert len(answer.content) < 2000
        assert "Traceback" not in answer.text


def test_text_that_only_looks_like_an_escaped_nul_is_stored(tenant: Tenant) -> None:
    name = "a\\u0000b"
    body = json.dumps({"mobile": "+13475550101", "firstName": name})
    answer = tenant.post("/contacts", content=body, headers=JSON)
    assert answer.json()["data"][0]["firstName"] == name


def test_large_numbers_in_attributes_survive_or_are_refused(tenant: Tenant) -> None:
    body = {"mobile": "+13475550101", "attributes": {"big": 10**30, "small": 1e-300}}
    answer = tenant.post("/contacts", json=body)
    assert answer.status_code == 201
    contact = tenant.get("/contacts").json()["data"][0]
    assert contact["attributes"] == body["attributes"]


UNSTORABLE = [
    "firstName=%00",
    "firstName=%ff%fe",
    "firstName=" + "x" * 2000,
    "firstName=%ed%a0%80",
    "mobile=%00",
    "tags=a%00b",
    "tags=a&tags=%00",
    "mergeStrategy=%00",
]


def test_a_parameter_that_cannot_be_stored_is_refused(tenant: Tenant) -> None:
    for query in UNSTORABLE:
        answer = (
            tenant.post(f"/contacts?{query}", json={"mobile": "+13475550101"})
            if query.startswith("merge")
            else tenant.get(f"/contacts?{query}")
        )
        # Octets that are no UTF-8 may also be read as replacement characters, which match nothing.
        assert answer.status_code == 400 or answer.json()["data"] == [], query


def test_a_body_of_another_kind_is_refused(tenant: Tenant) -> None:
    for path in WRITES:
        # A contact may come as a file too.
        files = () if path == "/contacts" else ("text/csv", "multipart/form-data")
        for kind in (*files, "application/xml", "text/plain", "a/b/c"):
            answer = tenant.post(path, content=b"{}", headers={"content-type": kind})
            assert answer.status_code == 415
            assert answer.json()["error"]["code"] == "GEN-415"


def test_json_is_taken_under_each_of_its_names(tenant: Tenant) -> None:
    body = b'{"mobile": "+13475550101"}'
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "text/json", ""):
        headers = {"content-type": kind} if kind else {}
        assert tenant.post("/contacts", content=body, headers=headers).status_code == 201


def test_a_byte_order_mark_is_no_part_of_the_body(tenant: Tenant) -> None:
    body = b'\xef\xbb\xbf{"mobile": "+13475550101"}'
    answer = tenant.post("/contacts", content=body, headers=JSON)
    assert answer.status_code == 201
    made = answer.json()["data"][0]["id"]
    assert tenant.put(f"/contacts/{made}", content=b"\xef\xbb\xbf").status_code == 200


def test_a_body_that_is_too_large_is_refused(tenant: Tenant) -> None:
    answer = tenant.post("/webhooks", content=b" " * 1_100_000, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "GEN-413"
    answer = tenant.post("/messages", content=b" " * (32 * 1024 * 1024 + 1), headers=JSON)
    assert answer.status_code == 413


def test_addresses_and_methods_that_are_not_there_are_said_so(http: Http, tenant: Tenant) -> None:
    for path in ("/", "/v1", "/v2/accounts", "/%00", "/v1/accounts//contacts", "/../etc/passwd"):
        answer = http.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "GEN-404"
    answer = tenant.request("PATCH", "/contacts")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "GEN-405"
    assert "GET" in answer.headers["allow"]


def test_the_request_id_of_the_client_is_kept_if_it_is_harmless(http: Http) -> None:
    assert http.get("/health", headers={"x-request-id": "abc-1.2"}).headers["x-request-id"] == (
        "abc-1.2"
    )
    for bad in ("x" * 65, "a b", "<script>", ""):
        answer = http.get("/nowhere", headers={"x-request-id": bad})
        assert answer.headers["x-request-id"] not in (bad, "")


def test_a_surprise_is_a_500_that_gives_nothing_away(
    http: Http, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("+13475550101 is a secret number")

    monkeypatch.setattr("viesti.api.v1.contacts.list_contacts", fail)
    answer = http.get(
        f"/v1/accounts/{tenant.account_id}/contacts",
        headers={"authorization": f"Bearer {tenant.token}", "x-request-id": "find-me"},
    )
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "GEN-500"
    assert answer.headers["x-request-id"] == "find-me"
    assert "secret number" not in answer.text
    logged = "".join(capsys.readouterr())
    assert "find-me" in logged
    assert "RuntimeError" in logged
    assert "secret number" not in logged


def test_a_database_that_does_not_answer_is_a_503(
    http: Http, tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    pool.close()
    answer = tenant.get("/contacts")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "GEN-503"
    assert answer.headers["retry-after"]
    assert http.get("/ready").status_code == 503
    assert http.get("/health").status_code == 200


def test_pages_of_listed_origins_may_call(
    settings: Settings, pool: ConnectionPool[psycopg.Connection], http: Http
) -> None:
    ask = {"origin": "https://app.example.org", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in http.options("/oauth2/token", headers=ask).headers
    open_ = replace(settings, cors_origins=("https://app.example.org",))
    with TestClient(create_app(open_, pool)) as cors:
        answer = cors.options("/oauth2/token", headers=ask)
        assert answer.headers["access-control-allow-origin"] == ask["origin"]
        answer = cors.get("/health", headers={"origin": ask["origin"]})
        assert answer.headers["access-control-allow-origin"] == ask["origin"]
        answer = cors.get("/health", headers={"origin": "https://evil.example.org"})
        assert "access-control-allow-origin" not in answer.headers


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ("id", "mobile", "firstName", "lastName", "email", "attributes", "tags", "template",
          "contacts", "conversations", "filters", "media", "type", "url", "eventTypes")  # fmt: skip


@given(body=st.dictionaries(st.sampled_from(FIELDS), values, max_size=6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_body_of_any_shape_is_a_500(tenant: Tenant, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    for method, path in (("POST", "/contacts"), ("POST", "/messages"), ("POST", "/webhooks")):
        answer = tenant.request(method, path, content=content, headers=JSON)
        assert answer.status_code < 500
