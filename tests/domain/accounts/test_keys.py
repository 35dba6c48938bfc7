"""The keys that sign tokens."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.conftest import Clock
from viesti.db.connections import connect
from viesti.domain.accounts.keys import (
    VERIFIABLE_FOR,
    ensure_signing_key,
    load_jwks,
    load_public_keys,
)
from viesti.domain.accounts.models import Profile
from viesti.domain.accounts.tokens import Client, issue_token, read_token
from viesti.kit.errors import Unauthenticated, Unavailable
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey

KEY = PlatformKey([os.urandom(32)])


def test_processes_that_start_together_make_one_key(dsn: str, clock: Clock) -> None:
    def ask(_: int) -> str:
        with connect(dsn, "test") as conn:
            return ensure_signing_key(conn, KEY, clock.now()).kid

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(ask, range(4)))) == 1


def test_private_parts_are_stored_encrypted_and_published_nowhere(
    conn: psycopg.Connection, clock: Clock
) -> None:
    ensure_signing_key(conn, KEY, clock.now())
    row = conn.execute("SELECT private_key_encrypted, public_jwk FROM signing_keys").fetchone()
    assert row is not None
    assert b'"d"' not in bytes(row[0])
    assert "d" not in row[1]
    assert load_jwks(conn, clock.now())["keys"] == [row[1]]
    with pytest.raises(Unavailable):
        ensure_signing_key(conn, PlatformKey([os.urandom(32)]), clock.now())


def test_a_retired_key_verifies_as_long_as_its_tokens_live(
    conn: psycopg.Connection, clock: Clock
) -> None:
    old = ensure_signing_key(conn, KEY, clock.now())
    client = Client(new_id(), new_id(), b"", Profile.PUBLISHED, active=True)
    token = issue_token(old, client, "https://texts.example.org", clock.now(), 3600)
    conn.execute("UPDATE signing_keys SET retired_at = %s", (clock.now(),))
    new = ensure_signing_key(conn, KEY, clock.now())
    assert new.kid != old.kid
    assert read_token(load_public_keys(conn, clock.now()), token, clock.now()).client_id == (
        client.client_id
    )
    late = clock.now() + VERIFIABLE_FOR
    assert set(load_public_keys(conn, late)) == {new.kid}
    with pytest.raises(Unauthenticated, match="expired"):
        read_token(
            load_public_keys(conn, clock.now()), token, clock.now() + timedelta(seconds=3600)
        )
