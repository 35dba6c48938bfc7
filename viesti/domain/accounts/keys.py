"""The RSA keys that sign access tokens; called by the token endpoint and whoever checks tokens.

Private keys lie in the database under the platform's key. The first is made when the first
token is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import psycopg
from joserfc.jwk import RSAKey
from psycopg.types.json import Jsonb

from viesti.kit.secrets import PlatformKey

PURPOSE = "signing-key"
KEY_BITS = 2048  # NIST SP 800-57 part 1, table 2: 112 bits of security, enough until 2030
ALGORITHM = "RS256"
# A token lives an hour at most (Settings.token_ttl_s), so its key must be known that long.
VERIFIABLE_FOR = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    key: RSAKey


def ensure_signing_key(
    conn: psycopg.Connection, platform_key: PlatformKey, now: datetime
) -> SigningKey:
    """The key that signs now; made if there is none.

    Raises Unavailable if it was stored under another platform key.
    """
    found = _find_newest(conn, platform_key)
    if found is None:
        # Against processes that start together; readers are not held up.
        conn.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
        found = _find_newest(conn, platform_key) or _make(conn, platform_key, now)
    return found


def load_public_keys(conn: psycopg.Connection, now: datetime) -> Mapping[str, RSAKey]:
    """By ``kid``, every key whose tokens may still be good."""
    rows = conn.execute(
        "SELECT kid, public_jwk FROM signing_keys"
        " WHERE retired_at IS NULL OR retired_at > %s ORDER BY created_at",
        (now - VERIFIABLE_FOR,),
    ).fetchall()
    return {kid: RSAKey.import_key(jwk) for kid, jwk in rows}


def load_jwks(conn: psycopg.Connection, now: datetime) -> dict[str, Any]:
    """The key set as RFC 7517 section 5 has it."""
    rows = conn.execute(
        "SELECT public_jwk FROM signing_keys"
        " WHERE retired_at IS NULL OR retired_at > %s ORDER BY created_at",
        (now - VERIFIABLE_FOR,),
    ).fetchall()
    return {"keys": [row[0] for row in rows]}


def _find_newest(conn: psycopg.Connection, platform_key: PlatformKey) -> SigningKey | None:
    row = conn.execute(
        "SELECT kid, private_key_encrypted FROM signing_keys WHERE retired_at IS NULL"
        " ORDER BY created_at DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    jwk = msgspec.json.decode(platform_key.decrypt(PURPOSE, row[1]), type=dict[str, Any])
    return SigningKey(row[0], RSAKey.import_key(jwk))


def _make(conn: psycopg.Connection, platform_key: PlatformKey, now: datetime) -> SigningKey:
    key = RSAKey.generate_key(
        KEY_BITS, {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True
    )
    kid = cast(str, key.kid)
    sealed = platform_key.encrypt(PURPOSE, msgspec.json.encode(key.as_dict(private=True)))
    conn.execute(
        "INSERT INTO signing_keys (kid, private_key_encrypted, public_jwk, created_at)"
        " VALUES (%s, %s, %s, %s)",
        (kid, sealed, Jsonb(key.as_dict(private=False)), now),
    )
    return SigningKey(kid, key)
