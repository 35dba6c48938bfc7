"""Who calls: signs API clients in, and checks the bearer token of every other request.

Clients and keys are remembered for ``FRESH_S`` seconds, so that a revocation and a new client
take effect that soon, and a client that asks for a token with every text costs the database
nothing. Each process of the API holds one ``Authenticator``.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import psycopg
from joserfc.jwk import RSAKey
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from viesti.api.client_address import client_address
from viesti.api.database import Database
from viesti.api.fresh import FreshCache
from viesti.api.rate import Allowance, RateLimiter
from viesti.domain.accounts.failures import (
    Failures,
    address_subject,
    client_subject,
    load_failures,
    record_failure,
)
from viesti.domain.accounts.keys import SigningKey, ensure_signing_key, load_public_keys
from viesti.domain.accounts.models import Profile
from viesti.domain.accounts.tokens import (
    Client,
    find_client,
    find_kid,
    issue_token,
    nobody,
    read_token,
    secret_matches,
)
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.kit.errors import NotFound, RateLimited, Unauthenticated
from viesti.kit.ids import find_id
from viesti.kit.secrets import PlatformKey

FRESH_S = 2.0
# A client that got a token from an address is not locked out by others who guess, at its id or
# from its address: all clients have one address behind a proxy that is not declared.
KNOWN_GOOD_S = 3600.0
RELOAD_S = 0.25
MAX_REMEMBERED = 10_000
MAX_SECRET_CHARS = 1024

_CALLER = "viesti_caller"
_ALLOWANCE = "viesti_allowance"
_ALL_KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Caller:
    """The API client that a request comes from, and the account that it may touch."""

    account_id: UUID
    credential_id: UUID
    profile: Profile


class BadClient(Unauthenticated):
    """An API client that does not exist, or a wrong secret: the two look the same."""


class Authenticator:
    def __init__(self, settings: Settings, platform_key: PlatformKey, database: Database) -> None:
        self._settings = settings
        self._platform_key = platform_key
        self._database = database
        self._clients: FreshCache[UUID, Client] = FreshCache(FRESH_S, MAX_REMEMBERED)
        self._failures: FreshCache[str, Failures] = FreshCache(FRESH_S, MAX_REMEMBERED)
        self._known_good: FreshCache[tuple[str, str], bool] = FreshCache(
            KNOWN_GOOD_S, MAX_REMEMBERED
        )
        self._signing: FreshCache[str, SigningKey] = FreshCache(FRESH_S, 1)
        self._public: FreshCache[str, Mapping[str, RSAKey]] = FreshCache(FRESH_S, 1)
        self._tokens = RateLimiter(settings, database, "token")
        self._reloaded: FreshCache[str, bool] = FreshCache(RELOAD_S, 1)

    async def sign_in(self, client_id: str, secret: str, address: str) -> str:
        """An access token for the client.

        Raises BadClient, or RateLimited after too many failures of the address or the client,
        and for a client that asks too often.
        """
        found = find_id(client_id)
        subjects = (address_subject(address), client_subject(found))
        client, failures = await self._look_up(found, subjects)
        now = utc_now()
        if subjects not in self._known_good:
            _refuse_blocked(failures, now)
        # An overlong secret is not hashed: its length would show in the time.
        usable = secret if len(secret) <= MAX_SECRET_CHARS else ""
        if not secret_matches(self._platform_key, client, usable) or client is None:
            counted = await self._database.run(lambda conn: record_failure(conn, subjects, now))
            for subject, failure in counted.items():
                self._failures.put(subject, failure)
            self._known_good.forget(subjects)
            raise BadClient("The client id or the client secret is wrong.")
        self._known_good.put(subjects, value=True)
        # After the secret, so that a stranger cannot use up what a client may ask.
        allowance = await self._tokens.take(client.client_id)
        if allowance is not None and allowance.retry_after_s > 0:
            raise RateLimited(
                "Too many tokens; use one until it expires.", retry_after_s=allowance.retry_after_s
            )
        signing = self._signing.find(_ALL_KEYS)
        if signing is None:
            signing = await self._database.run(
                lambda conn: ensure_signing_key(conn, self._platform_key, utc_now())
            )
            self._signing.put(_ALL_KEYS, signing)
        return issue_token(
            signing, client, self._settings.base_url, now, self._settings.token_ttl_s
        )

    async def give_back(self) -> None:
        """Return tokens of the token endpoint's bucket that were not used; until cancelled."""
        await self._tokens.give_back()

    async def authenticate(self, authorization: str) -> Caller:
        """The caller behind an Authorization header. Raises Unauthenticated."""
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send an access token: Authorization: Bearer <token>.")
        keys = await self._find_keys(token)
        claims = read_token(keys, token, utc_now())
        client = self._clients.find(claims.client_id)
        if client is None:
            client = await self._database.run(lambda conn: find_client(conn, claims.client_id))
            self._clients.put(claims.client_id, client or nobody(claims.client_id))
        if client is None or not client.active or client.account_id != claims.account_id:
            raise Unauthenticated("The credentials behind the access token are revoked.")
        return Caller(client.account_id, client.client_id, client.profile)

    async def _find_keys(self, token: str) -> Mapping[str, RSAKey]:
        kid = find_kid(token)
        if kid is None:
            raise Unauthenticated("The access token is not valid.")
        keys = self._public.find(_ALL_KEYS)
        # A key that another process made a moment ago is looked for at once, but invented ones
        # must not make the database work for each.
        if keys is None or (kid not in keys and _ALL_KEYS not in self._reloaded):
            keys = await self._database.run(lambda conn: load_public_keys(conn, utc_now()))
            self._public.put(_ALL_KEYS, keys)
            self._reloaded.put(_ALL_KEYS, value=True)
        return keys

    async def _look_up(
        self, client_id: UUID | None, subjects: tuple[str, str]
    ) -> tuple[Client | None, list[Failures]]:
        client = self._clients.find(client_id) if client_id is not None else None
        failures = [self._failures.find(subject) for subject in subjects]
        if (client is None and client_id is not None) or None in failures:
            return await self._database.run(lambda conn: self._load(conn, client_id, subjects))
        return client, [failure for failure in failures if failure is not None]

    def _load(
        self, conn: psycopg.Connection, client_id: UUID | None, subjects: tuple[str, str]
    ) -> tuple[Client | None, list[Failures]]:
        now = utc_now()
        client = None
        if client_id is not None:
            # Nobody is remembered too, or the time would tell who exists.
            client = find_client(conn, client_id) or nobody(client_id)
            self._clients.put(client_id, client)
        counted = load_failures(conn, subjects, now)
        failures = [counted.get(subject) or Failures(subject, 0, now) for subject in subjects]
        for failure in failures:
            self._failures.put(failure.subject, failure)
        return client, failures


def _refuse_blocked(failures: list[Failures], now: datetime) -> None:
    wait_s = max(failure.blocked_for_s(now) for failure in failures)
    if wait_s > 0:
        raise RateLimited("Too many failed sign-ins; wait and retry.", retry_after_s=wait_s)


def account_guard(authenticator: Authenticator, limiter: RateLimiter) -> Any:
    """A guard for routes under ``/v1/accounts/{account_id}``: the token must be that account's.

    An account that is not the token's looks the same whether or not it exists, and is looked
    up nowhere.
    """

    async def guard(
        connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
    ) -> None:
        caller = await _admit(connection, authenticator, limiter)
        if find_id(connection.path_params.get("account_id")) != caller.account_id:
            raise NotFound("There is no such account for this token.", "ACCT-008")
        connection.scope["state"][_CALLER] = caller

    return guard


def token_guard(authenticator: Authenticator, limiter: RateLimiter) -> Any:
    """A guard for routes without an account in their path: the token alone names it."""

    async def guard(
        connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
    ) -> None:
        connection.scope["state"][_CALLER] = await _admit(connection, authenticator, limiter)

    return guard


async def _admit(
    connection: ASGIConnection[Any, Any, Any, Any],
    authenticator: Authenticator,
    limiter: RateLimiter,
) -> Caller:
    caller = await authenticator.authenticate(connection.headers.get("authorization", ""))
    allowance = await limiter.take(caller.credential_id)
    connection.scope["state"][_ALLOWANCE] = allowance
    if allowance is not None and allowance.retry_after_s > 0:
        raise RateLimited(
            "Too many requests; put many recipients into one call.",
            retry_after_s=allowance.retry_after_s,
        )
    return caller


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """The caller that the guard let in; a route without the guard fails here."""
    return cast(Caller, connection.scope["state"][_CALLER])


def allowance_of(scope: Scope) -> Allowance | None:
    """What the guard found left to the caller; None where no guard or no limit applied."""
    state: dict[str, Any] = cast("MutableMapping[str, Any]", scope).get("state", {})
    return state.get(_ALLOWANCE)


def address_of(connection: ASGIConnection[Any, Any, Any, Any], settings: Settings) -> str:
    return client_address(connection, settings.trusted_proxies)
