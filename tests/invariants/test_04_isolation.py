"""Invariant 4: whatever route there is, it tells and changes nothing of another account.

The routes are read from the running application and the ids from the database, so that a
resource of tomorrow is tried too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from httpx import Response
from litestar.routes import HTTPRoute
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from tests.api.test_isolation import fill
from viesti.db.tables import Kind, metadata

PREFIX = "/v1/accounts/{account_id:str}"
PARAMETER = re.compile(r"\{[^}]+\}")
TENANT = [t for t in metadata.sorted_tables if t.info["kind"] is Kind.TENANT]
# Enough to pass the checks that come before the look for the resource.
BODY = {"firstName": "Mallory", "name": "Mallory", "template": "Mine now", "type": "SMS"}
NAMING = ("contactId", "conversationId", "jobId", "campaignId", "listId", "groupId", "id")

Pool = ConnectionPool[psycopg.Connection]


@pytest.fixture
def mine(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()


@pytest.fixture
def theirs(new_tenant: Callable[..., Tenant]) -> Tenant:
    """One of each resource, as far as an ordinary body makes one."""
    tenant = new_tenant()
    fill(tenant)
    for method, path in routes(tenant):
        if method == "POST" and not PARAMETER.search(path):
            ask(tenant, tenant.account_id, method, path)
    return tenant


def routes(tenant: Tenant) -> Iterator[tuple[str, str]]:
    """(method, path below the account) of everything that is served."""
    found = 0
    for route in tenant.http.app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(PREFIX):
            for method in sorted(route.methods - {"OPTIONS", "HEAD"}):
                found += 1
                yield method, route.path.removeprefix(PREFIX)
    assert found >= 15


def ids_of(pool: Pool, tenant: Tenant) -> set[str]:
    """Every id by which something of the account could be named."""
    found: set[str] = set()
    with pool.connection() as conn:
        for table in TENANT:
            if "id" in table.c:
                rows = conn.execute(
                    f'SELECT id::text FROM "{table.name}" WHERE account_id = %s'.encode(),
                    (tenant.account_id,),
                )
                found.update(row[0] for row in rows)
    assert len(found) >= 5
    return found


def rows_of(pool: Pool, tenant: Tenant) -> dict[str, Any]:
    """What the account holds, table by table, as one value each."""
    with pool.connection() as conn:
        return {
            table.name: conn.execute(
                f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text))"
                f' FROM "{table.name}" t WHERE account_id = %s'.encode(),
                (tenant.account_id,),
            ).fetchone()
            for table in TENANT
        }


def ask(tenant: Tenant, account: object, method: str, path: str) -> Response:
    body = BODY if method in ("POST", "PUT", "PATCH") else None
    return tenant.http.request(
        method,
        f"/v1/accounts/{account}{path}",
        headers={"authorization": f"Bearer {tenant.token}"},
        json=body,
    )


def same(left: Response, right: Response) -> bool:
    return (left.status_code, left.content) == (right.status_code, right.content)


def test_every_route_of_another_account_answers_as_if_there_were_no_such_account(
    mine: Tenant, theirs: Tenant, pool: Pool
) -> None:
    ids, before = ids_of(pool, theirs), rows_of(pool, theirs)
    for method, path in routes(mine):
        for id_ in sorted(ids) if PARAMETER.search(path) else [""]:
            filled = PARAMETER.sub(id_, path)
            foreign = ask(mine, theirs.account_id, method, filled)
            assert foreign.status_code == 404, (method, path)
            assert foreign.json()["error"]["code"] == "ACCT-008"
            assert same(foreign, ask(mine, uuid4(), method, filled)), (method, path)
    assert rows_of(pool, theirs) == before


def test_every_route_answers_a_foreign_id_as_one_that_does_not_exist(
    mine: Tenant, theirs: Tenant, pool: Pool
) -> None:
    ids, before = ids_of(pool, theirs), rows_of(pool, theirs)
    for method, path in routes(mine):
        if not PARAMETER.search(path):
            continue
        for id_ in sorted(ids):
            unknown = str(uuid4())
            foreign = ask(mine, mine.account_id, method, PARAMETER.sub(id_, path))
            answer = ask(mine, mine.account_id, method, PARAMETER.sub(unknown, path))
            assert foreign.status_code == answer.status_code, (method, path)
            assert foreign.text.replace(id_, "ID") == answer.text.replace(unknown, "ID")
    assert rows_of(pool, theirs) == before


def test_no_list_shows_a_foreign_id_whatever_it_is_asked_for(
    mine: Tenant, theirs: Tenant, pool: Pool
) -> None:
    ids = ids_of(pool, theirs)
    for method, path in routes(mine):
        if method != "GET" or PARAMETER.search(path):
            continue
        asked = [path, f"{path}?limit=100"]
        asked += [f"{path}?{name}={id_}" for name in NAMING for id_ in sorted(ids)]
        for question in asked:
            answer = ask(mine, mine.account_id, "GET", question)
            assert answer.status_code < 500
            told = [id_ for id_ in ids if id_ in answer.text.replace(question, "")]
            # What is refused may repeat the question.
            assert told == [] or answer.status_code == 400, question
