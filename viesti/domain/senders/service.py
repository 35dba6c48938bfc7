"""Set up carriers and senders; called by the command line, ``serve`` and the hub.

The caller commits. Dispatch finds what is added here at its next look, within two seconds.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from viesti.domain.senders.models import (
    USUAL_HABITS,
    BindMode,
    CarrierAccount,
    CarrierHabits,
    CarrierKind,
    Sender,
    SenderType,
    SmppAccount,
)
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey
from viesti.sms.msisdn import parse_msisdn

PASSWORD_PURPOSE = "carrier-password"  # noqa: S105 (the name of a purpose, not a secret)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.IGNORECASE)
SHORT_CODE = re.compile(r"[0-9]{3,8}")
# 3GPP TS 23.038 section 4 and 23.040 section 9.1.2.5: at most 11 characters of 7 bits.
ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&+-]{1,11}")
TOLL_FREE = re.compile(r"\+1(?:800|822|833|844|855|866|877|88[0-9])[0-9]{7}")

# SMPP 3.4 section 4.1.1: octets with the closing NUL.
SYSTEM_ID_LIMIT = 16
PASSWORD_LIMIT = 9

# Area codes whose numbers 555-0100 to 555-0199 are reserved for fiction and handed out on
# carriers that lead nowhere. Documentation and the demo write to handsets in others.
FICTION_AREAS = tuple(
    area for area in range(201, 990) if area % 100 != 11 and area not in (347, 555, 800)
)
FICTION_PER_AREA = 100


def add_carrier(
    conn: psycopg.Connection,
    key: PlatformKey,
    *,
    name: str,
    smpp: SmppAccount,
    now: datetime,
    window: int = 100,
    rate_per_s: float = 0.0,
    max_binds: int = 1,
    habits: CarrierHabits = USUAL_HABITS,
) -> CarrierAccount:
    """A carrier account over SMPP 3.4; ``rate_per_s`` counts segments, 0 is unlimited.

    Raises Invalid for values that SMPP cannot carry, Conflict if the name is taken.
    """
    _check_carrier(name, smpp, window, rate_per_s, max_binds)
    made = CarrierAccount(new_id(), name, CarrierKind.SMPP)
    settings = {"host": smpp.host, "port": smpp.port, "system_id": smpp.system_id}
    if habits.bind_mode is not BindMode.TRANSCEIVER:
        settings["bind_mode"] = habits.bind_mode.value
    row = conn.execute(
        'INSERT INTO carriers (id, name, kind, settings, secret_encrypted, "window", rate_per_s,'
        " max_binds, id_format, receipts, unknown_outcome, created_at, updated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (name) DO NOTHING RETURNING id",
        (
            made.id,
            name,
            made.kind.value,
            Jsonb(settings),
            key.encrypt(PASSWORD_PURPOSE, smpp.password.encode()),
            window,
            rate_per_s,
            max_binds,
            habits.id_format.value,
            habits.receipts.value,
            habits.unknown_outcome.value,
            now,
            now,
        ),
    ).fetchone()
    if row is None:
        raise Conflict(f"There is a carrier named {name} already.")
    return made


def ensure_carrier(
    conn: psycopg.Connection, key: PlatformKey, *, name: str, smpp: SmppAccount, now: datetime
) -> CarrierAccount:
    """The carrier of that name, made or led to ``smpp`` if it is missing or leads elsewhere."""
    row = conn.execute(
        "SELECT id, kind, settings, secret_encrypted FROM carriers WHERE name = %s FOR UPDATE",
        (name,),
    ).fetchone()
    if row is None:
        return add_carrier(conn, key, name=name, smpp=smpp, now=now)
    where = {"host": smpp.host, "port": smpp.port, "system_id": smpp.system_id}
    same = all(row[2].get(field) == value for field, value in where.items())
    if not same or key.decrypt(PASSWORD_PURPOSE, row[3]) != smpp.password.encode():
        conn.execute(
            "UPDATE carriers SET settings = settings || %s, secret_encrypted = %s,"
            " updated_at = %s WHERE id = %s",
            (Jsonb(where), key.encrypt(PASSWORD_PURPOSE, smpp.password.encode()), now, row[0]),
        )
    return CarrierAccount(row[0], name, CarrierKind(row[1]))


def _check_carrier(
    name: str, smpp: SmppAccount, window: int, rate_per_s: float, max_binds: int
) -> None:
    if not NAME.fullmatch(name):
        raise Invalid("A carrier's name has 1 to 63 letters, digits, dots, dashes, underscores.")
    if not smpp.host or not 1 <= smpp.port <= 65535:
        raise Invalid("A carrier needs a host and a port from 1 to 65535.")
    for what, text, limit in (
        ("system id", smpp.system_id, SYSTEM_ID_LIMIT),
        ("password", smpp.password, PASSWORD_LIMIT),
    ):
        if len(text) >= limit or not text.isascii() or "\0" in text:
            raise Invalid(f"The {what} has at most {limit - 1} ASCII characters in SMPP 3.4.")
    if not 1 <= window <= 10_000 or not 1 <= max_binds <= 64:
        raise Invalid("The window is 1 to 10000 and the number of binds 1 to 64.")
    if not 0 <= rate_per_s <= 1_000_000:
        raise Invalid("The rate is 0 (unlimited) to 1000000 segments a second.")


def find_carrier(conn: psycopg.Connection, name: str) -> CarrierAccount | None:
    row = conn.execute("SELECT id, name, kind FROM carriers WHERE name = %s", (name,)).fetchone()
    return CarrierAccount(row[0], row[1], CarrierKind(row[2])) if row else None


def get_carrier(conn: psycopg.Connection, name: str) -> CarrierAccount:
    """Raises NotFound."""
    found = find_carrier(conn, name)
    if found is None:
        raise NotFound(f"There is no carrier named {name}: add it with `viesti carrier add`.")
    return found


def add_sender(
    conn: psycopg.Connection,
    *,
    account_id: UUID,
    number: str,
    carrier_name: str,
    now: datetime,
    rate_per_s: float = 0.0,
) -> Sender:
    """Give ``number`` (E.164, short code or name) on a carrier to an account.

    The account's first sender is its default one. Raises Invalid, NotFound, and Conflict if
    the carrier's number belongs to an account already.
    """
    carrier = get_carrier(conn, carrier_name)
    if conn.execute("SELECT 1 FROM accounts WHERE id = %s", (account_id,)).fetchone() is None:
        raise NotFound("There is no such account.", "ACCT-008")
    if not 0 <= rate_per_s <= 1_000_000:
        raise Invalid("The rate is 0 (unlimited) to 1000000 segments a second.")
    number, kind, country = classify(number)
    sender = Sender(new_id(), account_id, carrier.id, number, kind, country)
    row = conn.execute(
        "INSERT INTO senders (id, account_id, carrier_id, number, country, type, rate_per_s,"
        " is_default, created_at) VALUES (%(id)s, %(account)s, %(carrier)s, %(number)s,"
        " %(country)s, %(type)s, %(rate)s,"
        " NOT EXISTS (SELECT 1 FROM senders WHERE account_id = %(account)s AND is_default),"
        " %(now)s) ON CONFLICT (carrier_id, number) DO NOTHING RETURNING id",
        {
            "id": sender.id,
            "account": account_id,
            "carrier": carrier.id,
            "number": number,
            "country": country,
            "type": kind.value,
            "rate": rate_per_s,
            "now": now,
        },
    ).fetchone()
    if row is None:
        raise Conflict(f"{number} is in use on carrier {carrier_name} already.")
    conn.execute(
        "INSERT INTO lanes (sender_id, account_id, carrier_id) VALUES (%s, %s, %s)",
        (sender.id, account_id, carrier.id),
    )
    return sender


def classify(number: str) -> tuple[str, SenderType, str]:
    """A sender's normal form, type and country (empty where it has none). Raises Invalid."""
    number = number.strip()
    if number.startswith("+"):
        found = parse_msisdn(number)
        if found is None:
            raise Invalid(f"{number} is not a phone number in E.164 form.")
        kind = SenderType.TOLL_FREE if TOLL_FREE.fullmatch(found.e164) else SenderType.LONG_CODE
        return found.e164, kind, found.country
    if SHORT_CODE.fullmatch(number):
        return number, SenderType.SHORT_CODE, ""
    if ALPHANUMERIC.fullmatch(number):
        return number, SenderType.ALPHANUMERIC, ""
    raise Invalid(
        f"{number} is no sender: give +E164, a short code of 3 to 8 digits,"
        " or a name of up to 11 letters and digits."
    )


def allot_sender(
    conn: psycopg.Connection, *, account_id: UUID, carrier_name: str, now: datetime
) -> Sender:
    """Give the account a number of the carrier that nobody uses.

    Only carriers on this machine or a private network have numbers of their own to give:
    those reserved for fiction. Raises Conflict for others and when all are in use.
    """
    carrier = get_carrier(conn, carrier_name)
    # Two that allot at once wait for each other here.
    row = conn.execute(
        "SELECT settings ->> 'host' FROM carriers WHERE id = %s FOR UPDATE", (carrier.id,)
    ).fetchone()
    if row is None or not _is_private(row[0]):
        raise Conflict(
            f"Carrier {carrier_name} is a real network, whose numbers viesti cannot make up:"
            " say which one it gave you (--sender)."
        )
    used = {
        found[0]
        for found in conn.execute("SELECT number FROM senders WHERE carrier_id = %s", (carrier.id,))
    }
    for area in FICTION_AREAS:
        for line in range(FICTION_PER_AREA):
            number = f"+1{area}55501{line:02d}"
            if number not in used:
                return add_sender(
                    conn, account_id=account_id, number=number, carrier_name=carrier_name, now=now
                )
    raise Conflict(f"All numbers of carrier {carrier_name} are in use.")


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"
