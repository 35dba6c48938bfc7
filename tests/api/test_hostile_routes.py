"""Requests that no honest client sends, to every route that is served.

Whatever comes, the answer is below 500, a refusal is the envelope with a code of the catalogue,
and a refused call leaves every row of the account as it was.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.api.attack import JSON, SAMPLES, Attack, Pool, Route, routes
from tests.api.conftest import Tenant
from tests.api.test_hostile import UNUSABLE
from viesti.api.errors import CATALOGUE

# Thousands of requests.
pytestmark = pytest.mark.slow

READS_JSON = [route for route, sample in SAMPLES.items() if sample is not None]
# In place of any value: wrong types, absurd numbers, text that cannot be stored or is too long.
WRONG: list[str] = [
    "null",
    "true",
    "7",
    "-1",
    "1e308",
    "1e400",
    "1" + "0" * 40,
    '""',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\u202e\U0001f600"',
    '"%s"' % ("x" * 5000),
    "[]",
    "{}",
    "[{}]",
    '["\\u0000"]',
    '{"a": {"b": [1]}}',
    '{"id": {}, "number": [], "url": 7, "code": {}, "tag": []}',
    "[" * 60 + "]" * 60,
]
# Never JSON of any shape.
BROKEN: list[bytes] = [
    b"{",
    b"nonsense",
    b"{} {}",
    b"NaN",
    b"Infinity",
    b"\xff\xfe{}",
    b'{"name": "\xff"}',
    b'{"name": "\\ud800"}',
    b'{"name": "a\x00"}',
    b'{"name": "a\\u0000"}',
    b'{"name": "\\x"}',
    b"{'name': 1}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"name": 01}',
    b'{"name": "' + b"x" * 100,
]
TEXTS = ["%00", "%ff%fe", "%ed%a0%80", "x" * 5000, "..%2f..%2fetc", "%27%22%3b--", "{}", "-1", "0",
         "1" + "0" * 40, "NaN", "null", "%e2%80%ae", "%25", "%0d%0aX-A:b", "true"]  # fmt: skip
QUERIES = ["limit", "offset", "after", "q", "firstName", "lastName", "email", "mobile", "tags",
           "list", "contactId", "conversationId", "jobId", "status", "name", "mergeStrategy",
           "admin"]  # fmt: skip


@pytest.fixture
def attack(tenant: Tenant, pool: Pool) -> Attack:
    return Attack(tenant, pool)


def test_every_route_that_writes_has_a_sample_and_takes_it(attack: Attack) -> None:
    written = {route for route in routes(attack.tenant) if route[0] in ("POST", "PUT")}
    assert set(SAMPLES) == written
    for route in READS_JSON:
        answer = attack.send(route, json.dumps(attack.sample(route)).encode())
        assert answer.status_code < 300, (route, answer.text)


@pytest.mark.parametrize("route", READS_JSON, ids=" ".join)
def test_a_wrong_value_of_any_field_is_refused_or_harmless(attack: Attack, route: Route) -> None:
    sample = attack.sample(route)
    for place in places(sample):
        for wrong in WRONG:
            attack.send(route, spoilt(sample, place, wrong))


def test_what_is_no_json_is_refused_everywhere(attack: Attack) -> None:
    for route in READS_JSON:
        for body in BROKEN:
            assert attack.send(route, body).status_code == 400, (route, body[:60])
        for body in UNUSABLE:
            attack.send(route, body)
        once = json.dumps(attack.sample(route))
        attack.send(route, f"{once[:-1]}, {once[1:]}".encode())  # each name twice
        attack.send(route, b"[" + once.encode() + b', 7, null, "x", []]')
        for body in (b"7", b'"text"', b"true", b"[1]", b'[["a"]]'):
            assert attack.send(route, body).status_code == 400, (route, body)


def test_a_body_of_another_kind_is_refused_everywhere(attack: Attack) -> None:
    for route in READS_JSON:
        body = json.dumps(attack.sample(route)).encode()
        for kind in ("application/xml", "text/plain", "application/x-www-form-urlencoded", "a/b/c",
                     "text/html; charset=\u20ac".encode(), "application/vnd.ms-excel"):  # fmt: skip
            answer = attack.send(route, body, {"content-type": kind})  # type: ignore[dict-item]
            assert answer.status_code == 415, (route, kind)
            assert answer.json()["error"]["code"] == "GEN-415"


def test_a_body_that_is_too_large_is_refused_everywhere(attack: Attack) -> None:
    for route in READS_JSON:
        most = 32 * 2**20 if route[1] in ("/contacts", "/messages") else 2**20
        answer = attack.send(route, b" " * (most + 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "GEN-413"), route


def test_an_action_or_a_file_of_nonsense_is_refused_or_harmless(attack: Attack) -> None:
    actions = [route for route, sample in SAMPLES.items() if sample is None]
    for route in actions:
        for body in (b"", b"{", b"\xff\xfe", b"\x00", b"Mobile\n\x00", b"[" * 100_000):
            for kind in ("application/json", "text/csv", "text/csv; charset=klingon",
                         "multipart/form-data", "multipart/form-data; boundary=x",
                         "multipart/form-data; boundary=" + "x" * 5000, "a/b/c"):  # fmt: skip
                attack.send(route, body, {"content-type": kind})


def test_a_method_that_an_address_does_not_take_is_told_which_it_does(attack: Attack) -> None:
    taken: dict[str, set[str]] = {}
    for method, path in routes(attack.tenant):
        taken.setdefault(path, set()).add(method)
    for path, methods in taken.items():
        for method in {"PATCH", "PUT", "DELETE", "POST", "TRACE", "BREW"} - methods:
            answer = attack.ask(method, attack.path(path), content=b"{}", headers=JSON)
            # A path with a URL in it takes what follows it too.
            assert answer.status_code in (405, 404), (method, path)
            if answer.status_code == 405:
                assert methods <= {word.strip() for word in answer.headers["allow"].split(",")}


def test_an_id_of_nonsense_is_refused_everywhere(attack: Attack) -> None:
    for method, path in routes(attack.tenant):
        if "{}" not in path:
            continue
        for text in [*TEXTS, str(uuid4()), uuid4().hex, f"{{{uuid4()}}}"]:
            body = {} if method in ("POST", "PUT") else None
            answer = attack.ask(method, path.replace("{}", text), json=body)
            assert answer.status_code in (400, 404, 405), (method, path, text)


def test_a_parameter_of_nonsense_is_refused_or_matches_nothing(attack: Attack) -> None:
    for method, path in routes(attack.tenant):
        sample = SAMPLES.get((method, path))
        names = QUERIES if method == "GET" else ["mergeStrategy"]
        for name in names[: 3 if "{}" in path else None]:
            for text in [*TEXTS[:6], "", f"&{name}=1", "1&" * 500]:
                if method == "DELETE":
                    continue
                asked = f"{attack.path(path)}?{name}={text}"
                attack.ask(method, asked, **({"json": sample} if sample else {}))


def test_a_page_beyond_its_bounds_is_refused_by_every_list(attack: Attack) -> None:
    lists = 0
    for method, path in routes(attack.tenant):
        if method != "GET" or "pagination" not in attack.ask("GET", attack.path(path)).json():
            continue
        lists += 1
        for query in ("limit=0", "limit=-1", "offset=-1", "limit=1e1", "offset=%2b1", "limit=٣"):
            answer = attack.ask("GET", f"{attack.path(path)}?{query}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "GEN-400"), query
        if path != "/groups":  # its clients ask for 500 (api-current.md, section 9)
            assert attack.ask("GET", f"{attack.path(path)}?limit=101").status_code == 400, path
    assert lists >= 9


def test_a_key_of_nonsense_is_refused(attack: Attack) -> None:
    sample = attack.sample(("POST", "/messages"))
    for key in (b"", b" " * 300, b"x" * 256, b"\xff", "\u20ac".encode(), b"a\tb"):
        headers = {"idempotency-key": key}
        answer = attack.ask("POST", "/messages", json=sample, headers=headers)
        assert answer.status_code == 400, key


def test_what_stands_in_no_account_is_as_careful(attack: Attack) -> None:
    http, bodies = attack.tenant.http, [*UNUSABLE, *BROKEN]
    bearer = {"authorization": f"Bearer {attack.tenant.token}"}
    for kind in ("application/json", "application/x-www-form-urlencoded", "a/b/c",
                 "multipart/form-data", "multipart/form-data; boundary=x"):  # fmt: skip
        for body in bodies:
            for path, headers in (("/oauth2/token", {}), ("/v1/tools/sharefile", bearer)):
                given = headers | {"content-type": kind}
                answer = http.post(path, content=body, headers=given)
                assert 400 <= answer.status_code < 500, (path, kind, body[:60])
                said = answer.json()
                error = said.get("errorObject", said["error"])
                assert said["success"] is False
                assert CATALOGUE[error["code"]].status == answer.status_code
    for text in TEXTS:
        for path in ("/f/", "/.well-known/", "/docs/", "/"):
            answer = http.get(path + text)
            assert answer.status_code < 500, (path, text)
    assert attack.rows() == attack.before


def test_a_token_of_nonsense_is_a_401(attack: Attack) -> None:
    header, payload, signature = attack.tenant.token.split(".")
    for token in (
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic " + b"x" * 40,
        b"Bearer " + b"x" * 20_000,
        b"Bearer \xff\xfe",
        b"Bearer a.b.c",
        f"Bearer {header}.{payload}.".encode(),
        f"Bearer {header}.{payload}.{signature[::-1]}".encode(),
        f"Bearer e30.{payload}.{signature}".encode(),
        f"Bearer {header}.e30.{signature}".encode(),
    ):
        answer = attack.ask("GET", "/contacts", headers={"authorization": token})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "GEN-401"), token[:60]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in ``value``, the whole of it too."""
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    for key, part in enumerate(value) if isinstance(value, list) else inner:
        yield from places(part, (*path, key))


def spoilt(sample: Any, place: tuple[Any, ...], wrong: str) -> bytes:
    """``sample`` as JSON with ``wrong`` at ``place``."""
    mark = "<here>"
    if not place:
        return wrong.encode()
    changed = copy.deepcopy(sample)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = mark
    return json.dumps(changed).replace(f'"{mark}"', wrong, 1).encode()
