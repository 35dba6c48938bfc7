"""Access tokens (RS256 JWTs) and the API clients that they stand for; called by the API.

Checking a secret takes the same work whether or not the client exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import extract_compact

from viesti.domain.accounts.keys import ALGORITHM, SigningKey
from viesti.domain.accounts.models import Profile
from viesti.domain.accounts.service import SECRET_PURPOSE
from viesti.kit.errors import Unauthenticated
from viesti.kit.ids import find_id, new_id
from viesti.kit.secrets import PlatformKey

SCOPE = "messages:send"  # the one scope of the published contract
MAX_TOKEN_CHARS = 4096
# Stands in for the hash of a client that does not exist; no secret hashes to it in practice.
_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class Client:
    """An API client as far as signing in goes."""

    client_id: UUID
    account_id: UUID
    secret_hash: bytes
    profile: Profile
    active: bool


@dataclass(frozen=True, slots=True)
class Claims:
    client_id: UUID
    account_id: UUID


def find_client(conn: psycopg.Connection, client_id: UUID) -> Client | None:
    """The client, active unless it was revoked or its account disabled."""
    row = conn.execute(
        "SELECT c.account_id, c.secret_hash, c.profile,"
        " c.revoked_at IS NULL AND a.disabled_at IS NULL"
        " FROM api_credentials c JOIN accounts a ON a.id = c.account_id WHERE c.id = %s",
        (client_id,),
    ).fetchone()
    if row is None:
        return None
    return Client(client_id, row[0], bytes(row[1]), Profile(row[2]), row[3])


def nobody(client_id: UUID) -> Client:
    """Stands for a client that does not exist: no secret matches it."""
    return Client(client_id, client_id, _NOBODY, Profile.PUBLISHED, active=False)


def secret_matches(platform_key: PlatformKey, client: Client | None, secret: str) -> bool:
    """Whether ``secret`` is that of ``client`` and the client is active, in equal time."""
    stored = client.secret_hash if client is not None else _NOBODY
    matches = platform_key.matches(SECRET_PURPOSE, secret, stored)
    return matches and client is not None and client.active


def issue_token(key: SigningKey, client: Client, issuer: str, now: datetime, ttl_s: int) -> str:
    """A signed token that is good for ``ttl_s`` seconds (claims: RFC 7519 section 4.1)."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "sub": str(client.client_id),
        "accountId": str(client.account_id),
        "scope": SCOPE,
        "iat": issued_at,
        "exp": issued_at + ttl_s,
        "jti": str(new_id()),
    }
    header = {"typ": "JWT", "alg": ALGORITHM, "kid": key.kid}
    return jwt.encode(header, claims, key.key, algorithms=[ALGORITHM])


def find_kid(token: str) -> str | None:
    """The key that ``token`` says it was signed with; None if it is no token of ours."""
    if len(token) > MAX_TOKEN_CHARS:
        return None
    try:
        header = extract_compact(token.encode("ascii")).headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        return None
    kid = header.get("kid")
    return kid if isinstance(kid, str) and header.get("alg") == ALGORITHM else None


def read_token(keys: Mapping[str, RSAKey], token: str, now: datetime) -> Claims:
    """What a token that we signed says. Raises Unauthenticated (GEN-401) for any other."""
    kid = find_kid(token)
    key = keys.get(kid) if kid is not None else None
    if key is None:
        raise Unauthenticated("The access token is not valid.")
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise Unauthenticated("The access token is not valid.") from error
    expires_at = claims.get("exp")
    client_id, account_id = find_id(claims.get("sub")), find_id(claims.get("accountId"))
    if not isinstance(expires_at, int) or client_id is None or account_id is None:
        raise Unauthenticated("The access token is not valid.")
    if expires_at <= now.timestamp():
        raise Unauthenticated("The access token has expired.")
    return Claims(client_id, account_id)
