"""Sharing files by link (acceptance scenario 14)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import psycopg
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from tests.contract.schema import check_value, contract
from viesti.api.app import create_app
from viesti.domain.files.service import begin_file, finish_file
from viesti.housekeeping.shared_files import (
    ARRIVES_WITHIN,
    forget_removed_files,
    remove_expired_files,
)
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.kit.errors import Unavailable
from viesti.kit.objects import open_objects

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1600
PATH = "/v1/tools/sharefile"


@pytest.fixture
def http(
    settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> Generator[TestClient[Litestar]]:
    unlimited = replace(settings, rate_limit_per_s=0, file_max_mb=1)
    with TestClient(create_app(unlimited, pool), raise_server_exceptions=False) as client:
        yield client


def share(tenant: Tenant, **options: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {tenant.token}"} | options.pop("headers", {})  # type: ignore[operator]
    return tenant.http.post(PATH, headers=headers, **options)  # type: ignore[arg-type]


def link_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    schema = contract()["paths"][PATH]["post"]["responses"]["200"]
    check_value(schema["content"]["application/json"]["schema"], answer.json())
    return "/f/" + answer.json()["data"]["link"].rpartition("/f/")[2]


def test_a_file_comes_back_by_its_link_however_it_was_sent(tenant: Tenant) -> None:
    by_form = share(tenant, files={"media": ("pic.png", PNG, "image/png")})
    by_octets = share(tenant, content=PNG, headers={"content-type": "application/octet-stream"})
    assert by_form.json()["data"]["expires"].endswith("Z")
    links = [link_of(by_form), link_of(by_octets)]
    assert links[0] != links[1]
    for link in links:
        got = tenant.http.get(link)
        assert got.status_code == 200
        assert got.content == PNG
        assert got.headers["content-type"] == "image/png"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in got.headers["content-security-policy"]
    assert "pic.png" in tenant.http.get(links[0]).headers["content-disposition"]


def test_a_player_may_ask_for_a_part(tenant: Tenant) -> None:
    link = link_of(share(tenant, files={"media": ("pic.png", PNG)}))

    def part(span: str) -> httpx.Response:
        return tenant.http.get(link, headers={"range": f"bytes={span}"})

    assert (part("0-3").status_code, part("0-3").content) == (206, PNG[:4])
    assert part("0-3").headers["content-range"] == f"bytes 0-3/{len(PNG)}"
    assert part("300000-").content == PNG[300000:]
    assert part("-5").content == PNG[-5:]
    assert part("0-99999999").content == PNG
    assert part(f"{len(PNG)}-").status_code == 416
    assert part("x").status_code == 200


def test_a_preview_may_ask_about_a_file_without_loading_it(tenant: Tenant) -> None:
    link = link_of(share(tenant, files={"media": ("pic.png", PNG)}))
    asked, got = tenant.http.head(link), tenant.http.get(link)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-type", "content-length", "content-disposition", "accept-ranges"):
        assert asked.headers[name] == got.headers[name]
    assert tenant.http.head("/f/abcdefgh12345678").status_code == 404


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<html><script>alert(1)</script>", "page.html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "pic.svg"),
        (b"<html>", "pic.png"),
        (b"MZ\x90\x00", "game.exe"),
        (b"PK\x03\x04", "sheet.xlsx"),
    ],
)
def test_what_a_browser_or_phone_would_run_is_refused(
    tenant: Tenant, content: bytes, name: str
) -> None:
    refused = share(tenant, files={"media": (name, content, "image/png")})
    assert refused.status_code == 415
    assert refused.json()["error"]["code"] == "FILE-002"
    assert "images" in refused.json()["error"]["message"]


def test_too_large_empty_and_broken_uploads_are_refused(tenant: Tenant) -> None:
    large = PNG + bytes(1024 * 1024)
    for options in (
        {"content": large, "headers": {"content-type": "application/octet-stream"}},
        {"files": {"media": ("large.png", large)}},
        {"files": {"media": ("large.png", large + bytes(1024 * 1024))}},
    ):
        refused = share(tenant, **options)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "FILE-003")
        assert "1 MB" in refused.json()["error"]["message"]
    for options in (
        {"content": b"", "headers": {"content-type": "application/octet-stream"}},
        {"files": {"media": ("empty.png", b"")}},
        {"data": {"other": "x"}, "files": {}},
        {"content": b"", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"--y", "headers": {"content-type": "multipart/form-data"}},
        {
            "content": b"--x\r\nnonsense",
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        },
    ):
        refused = share(tenant, **options)
        assert refused.status_code in (400, 415), refused.text
        assert refused.json()["success"] is False


def test_sharing_needs_a_token_and_reading_a_good_link(tenant: Tenant) -> None:
    refused = tenant.http.post(PATH, content=PNG)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "GEN-401")
    for link in ("/f/abcdefgh12345678", "/f/%00", "/f/..%2f..%2fsecret.key"):
        answer = tenant.http.get(link)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] in ("FILE-001", "GEN-404")


def test_an_expired_file_is_gone_then_forgotten_and_its_octets_with_it(
    tenant: Tenant, settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> None:
    link = link_of(share(tenant, files={"media": ("pic.png", PNG)}))
    kept = link_of(share(tenant, files={"media": ("pic.png", PNG)}))
    token = link.rpartition("/")[2]
    now = utc_now()

    def expire(at: datetime) -> None:
        with pool.connection() as conn:
            conn.execute(
                "UPDATE files SET expires_at = %s WHERE account_id = %s AND id ="
                " (SELECT file_id FROM file_links WHERE token = %s)",
                (at, tenant.account_id, token),
            )

    expire(now - timedelta(seconds=1))
    gone = tenant.http.get(link)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "FILE-004")
    objects = open_objects(settings)
    stored = list((settings.data_dir / "files").rglob("*-*-*-*-*/*-*"))
    with pool.connection() as conn:
        assert remove_expired_files(objects)(conn, now) is False
    left = list((settings.data_dir / "files").rglob("*-*-*-*-*/*-*"))
    assert (len(stored), len(left)) == (2, 1)
    assert tenant.http.get(link).status_code == 410
    with pool.connection() as conn:
        forget_removed_files(conn, now + timedelta(days=31))
    assert tenant.http.get(link).status_code == 404
    assert tenant.http.get(kept).content == PNG


def test_an_upload_that_never_arrived_is_cleared_up_and_cannot_arrive_later(
    tenant: Tenant, settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> None:
    now = utc_now()
    with pool.connection() as conn:
        file = begin_file(
            conn,
            tenant.account_id,
            name="pic.png",
            media_type="image/png",
            octets=len(PNG),
            lifetime=timedelta(days=30),
            now=now,
        )
    late = now + ARRIVES_WITHIN + timedelta(seconds=1)
    with pool.connection() as conn:
        assert remove_expired_files(open_objects(settings))(conn, late) is False
    with pool.connection() as conn, pytest.raises(Unavailable):
        finish_file(conn, file, late)
    assert tenant.http.get(f"/f/{file.token}").status_code == 404
