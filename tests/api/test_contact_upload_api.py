"""Contacts by CSV over the API: small files, answered at once, and large ones that are jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from httpx import Response
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.app import create_app
from viesti.domain.imports.models import INLINE_ROWS
from viesti.domain.imports.work import Importer
from viesti.domain.opt_outs.service import opt_out
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings

BLOCKED = "+13475550199"
SCENARIO = (
    "Mobile,Country,First Name,Tags,Plan\n"
    "+1 (347) 555-0101,US,Ana,Fall | Mover,gold\n"
    "3475550101,US,Anna,VIP,gold\n"
    "07400 123456,GB,Bob,,=1+1\n"
    "12345,US,Bad,,\n"
    f"{BLOCKED},US,Carl,,\n"
)


def upload(tenant: Tenant, text: str | bytes, kind: str = "text/csv", query: str = "") -> Response:
    content = text.encode() if isinstance(text, str) else text
    return tenant.post(f"/contacts{query}", content=content, headers={"content-type": kind})


def taken(answer: Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def counts(data: dict[str, Any]) -> tuple[int, int, int, int]:
    return data["submitted"], data["success"], data["inserted"], data["updated"]


def by_number(tenant: Tenant) -> dict[str, dict[str, Any]]:
    found = tenant.get("/contacts?limit=100").json()["data"]
    return {contact["mobile"]["number"]: contact for contact in found}


def tags_of(contact: dict[str, Any]) -> list[str]:
    return [tag["tag"] for tag in contact["tags"]]


def block(pool: ConnectionPool[psycopg.Connection], tenant: Tenant, mobile: str) -> None:
    with pool.connection() as conn:
        opt_out(
            conn,
            tenant.account_id,
            mobile,
            source="keyword",
            word="STOP",
            sender_id=None,
            now=utc_now(),
        )


def test_a_file_is_merged_counted_and_answered(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    tenant.post("/contacts", json={"mobile": BLOCKED})
    block(pool, tenant, BLOCKED)
    data = taken(upload(tenant, SCENARIO))
    assert counts(data) == (5, 4, 2, 1)
    (refused,) = data["errors"]
    assert (refused["row"], refused["error"]["code"]) == (4, "CONT-001")
    assert refused["mobile"] == {"number": "12345", "country": "US", "valid": False}
    assert [contact["firstName"] for contact in data["contacts"]] == ["Anna", "Bob", "Carl"]
    stored = by_number(tenant)
    assert tags_of(stored["+13475550101"]) == ["Fall", "Mover", "VIP"]
    assert stored["+447400123456"]["mobile"]["country"] == "GB"
    assert stored["+447400123456"]["attributes"] == {"Plan": "=1+1"}
    assert stored[BLOCKED]["blocked"]


def test_a_form_brings_the_file_in_any_part_with_the_strategy_before_or_after(
    tenant: Tenant,
) -> None:
    for fields in ({"files": {"whatever": ("a.csv", SCENARIO, "application/vnd.ms-excel")}},):
        assert counts(taken(tenant.post("/contacts", **fields))) == (5, 4, 3, 0)
    again = "Mobile,Last Name\n+13475550101,Ng\n"
    boundary = "x1"
    field = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="mergeStrategy"\r\n\r\nremove\r\n'
    )
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="b.csv"\r\n'
        f"Content-Type: text/csv; charset=utf-8\r\n\r\n{again}\r\n"
    )
    for parts in (field + file, file + field):
        taken(upload(tenant, SCENARIO))
        body = f"{parts}--{boundary}--\r\n"
        data = taken(upload(tenant, body, f"multipart/form-data; boundary={boundary}"))
        assert counts(data) == (1, 1, 0, 1)
        contact = by_number(tenant)["+13475550101"]
        assert tags_of(contact) == []
        assert contact["lastName"] == "Ng"
        assert "firstName" not in contact


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        ("", "text/csv", 400, "IMP-001"),
        ("Mobile\n", "text/csv", 400, "IMP-001"),
        ("Name,Plan\nAnn,gold\n", "text/csv", 400, "IMP-002"),
        (b"PK\x03\x04" + bytes(5000), "text/csv", 415, "GEN-415"),
        ("Mobile\n1\n", "application/vnd.ms-excel", 415, "GEN-415"),
        ("Mobile\n1\n", "text/csv; charset=klingon", 400, "IMP-001"),
        (b"Mobile\n\xff\n", "text/csv; charset=utf-8", 400, "IMP-001"),
        ("Mobile\n1\n", "multipart/form-data", 400, "GEN-400"),
        ("Mobile\n1\n", "multipart/form-data; boundary=b", 400, "GEN-400"),
        ("--b\r\n\r\nx", "multipart/form-data; boundary=b", 400, "GEN-400"),
        ("--b--\r\n", "multipart/form-data; boundary=b", 400, "GEN-400"),
        (
            '--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nMobile\n1',
            "multipart/form-data; boundary=b",
            400,
            "GEN-400",
        ),
        ("--b\r\n" + "X: y\r\n" * 50, "multipart/form-data; boundary=b", 413, "GEN-413"),
        ("Mobile\n1\n", "text/plain", 415, "GEN-415"),
    ],
)
def test_what_is_no_contact_file_is_refused_and_changes_nothing(
    tenant: Tenant, content: str | bytes, kind: str, status: int, code: str
) -> None:
    answer = upload(tenant, content, kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert by_number(tenant) == {}


def test_a_form_with_two_files_or_a_wrong_strategy_is_refused(tenant: Tenant) -> None:
    two = [("a", ("a.csv", SCENARIO)), ("b", ("b.csv", SCENARIO))]
    assert tenant.post("/contacts", files=two).status_code == 400
    wrong = tenant.post("/contacts", files=two[:1], data={"mergeStrategy": "replace"})
    assert wrong.status_code == 400
    assert by_number(tenant) == {}
    assert upload(tenant, SCENARIO, query="?mergeStrategy=replace").status_code == 400


def test_a_form_part_names_its_charset(tenant: Tenant) -> None:
    file = "Mobile;First Name\r\n3475550101;Zoë\r\n".encode("utf-16-be")
    answer = tenant.post("/contacts", files={"f": ("a.txt", file, "text/plain; charset=utf-16be")})
    assert taken(answer)["contacts"][0]["firstName"] == "Zoë"


@pytest.mark.parametrize(
    ("strategy", "tags", "plan"),
    [("append", ["a", "b"], "gold"), ("core", ["a"], "gold"), ("remove", ["b"], None)],
)
def test_a_number_that_is_known_is_merged_as_the_strategy_says(
    tenant: Tenant, strategy: str, tags: list[str], plan: str | None
) -> None:
    upload(tenant, "Mobile,First Name,Tags,Plan\n3475550101,Ann,a,gold\n")
    again = "Mobile,First Name,Tags,Plan\n(347) 555-0101,Bea,b,\n"
    data = taken(upload(tenant, again, query=f"?mergeStrategy={strategy}"))
    assert counts(data) == (1, 1, 0, 1)
    (contact,) = data["contacts"]
    assert (contact["firstName"], tags_of(contact)) == ("Bea", tags)
    assert contact["attributes"].get("Plan") == plan


def test_columns_of_consent_are_ignored_and_named(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    block(pool, tenant, BLOCKED)
    for strategy in ("append", "core", "remove"):
        data = taken(
            upload(
                tenant,
                f"Mobile,blocked,optIn\n{BLOCKED},,2020-01-01\n",
                query=f"?mergeStrategy={strategy}",
            )
        )
        assert data["ignoredColumns"] == ["blocked", "optIn"]
        (contact,) = data["contacts"]
        assert contact["blocked"]
        assert "optIn" not in contact
        assert contact["error"]["code"] == "CONT-010"


def test_a_large_file_is_a_job_that_can_be_followed_and_canceled(
    tenant: Tenant,
    new_tenant: Callable[..., Tenant],
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    text = "Mobile\n" + "".join(f"+1212{2_000_000 + n}\n" for n in range(INLINE_ROWS)) + "12345\n"
    data = taken(upload(tenant, text))
    assert counts(data) == (INLINE_ROWS + 1, 0, 0, 0)
    path = f"/imports/{data['jobId']}"
    started = tenant.get(path).json()["data"]
    assert (started["status"], started["done"]) == ("running", 0)
    assert new_tenant().get(path).json()["error"]["code"] == "JOB-001"
    importer = Importer()
    more = True
    while more:
        with pool.connection() as conn:
            more = importer.piece(conn, utc_now())
    done = tenant.get(path).json()["data"]
    assert (done["status"], done["done"], done["failed"]) == ("complete", INLINE_ROWS + 1, 1)
    assert counts(done) == (INLINE_ROWS + 1, INLINE_ROWS, INLINE_ROWS, 0)
    assert [(error["row"], error["error"]["code"]) for error in done["errors"]] == [
        (INLINE_ROWS + 1, "CONT-001")
    ]
    assert tenant.get(f"/jobs/{data['jobId']}").json()["data"] == done
    second = taken(upload(tenant, text))["jobId"]
    assert tenant.post(f"/imports/{second}/cancel").json()["data"]["status"] == "canceled"
    assert tenant.get(f"/imports/{tenant.account_id}").status_code == 404
    assert tenant.get("/imports/nonsense").status_code == 404


def test_a_file_beyond_the_limits_is_refused(
    settings: Settings, pool: ConnectionPool[psycopg.Connection], tenant: Tenant
) -> None:
    small = replace(settings, rate_limit_per_s=0, import_max_mib=1, import_max_rows=20)
    with TestClient(create_app(small, pool), raise_server_exceptions=False) as http:
        tenant.http = http
        rows = upload(tenant, "Mobile\n" + "3475550101\n" * 21)
        octets = upload(tenant, b"Mobile,x\n" + b"1," + b"x" * 2**21 + b"\n")
        form = tenant.post("/contacts", files={"f": ("a.csv", b"x" * (2**21 + 2**20))})
    for answer in (rows, octets, form):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "GEN-413")
