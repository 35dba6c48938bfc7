"""The first start: the main job done once in front of the person, then what they need to go on.

``serve`` calls ``greet`` in a thread beside its watch. The account is made over the domain
services; everything after that is an ordinary client of the API and of the handset page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console

from viesti.bootstrap import SIMULATOR_CARRIER, Installation
from viesti.demo_client import DemoClient, DemoFailed
from viesti.domain.accounts.models import NewCredential
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.domain.senders.service import allot_sender
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.supervisor import shown_program

HANDSET = "+13475550101"
NEXT_HANDSET = "+13475550102"
FIRST_TEXT = "Hello from Viesti. Reply to this text, and the reply comes back to you."
FIRST_REPLY = "Hi! It works."
BALANCE_MICROS = 1_000 * 1_000_000
READY_EVERY_S = 0.2
SLOW_START_S = 60.0

Stopping = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Demo:
    account_id: UUID
    sender: str
    told: bool  # whether the person has seen the secret


def greet(installation: Installation, console: Console, stopping: Stopping) -> None:
    """Wait until the API is ready, then show the first text, or where to find things."""
    settings = installation.settings
    client = DemoClient(settings)
    if not _wait_until_ready(client, console, stopping):
        return
    demo = find_or_make(installation) if settings.demo and settings.simulator else None
    if demo is None or demo.told:
        _say_where(console, settings, demo)
        return
    with installation.connect() as conn:
        credential = create_credentials(
            conn, installation.key, demo.account_id, now=utc_now(), name="demo"
        )
    console.print("\n[bold]First start: one text, there and back[/bold]")
    try:
        _show_first_text(client, credential, demo, console, stopping)
    except DemoFailed as error:
        if stopping():
            return
        console.print(f"  [red]The first text did not go through:[/red] {error}", highlight=False)
        console.print(f"  `{shown_program()} doctor` says what is wrong.", highlight=False)
    _say_where(console, settings, demo)
    _say_secret(console, settings, credential)
    with installation.connect() as conn:
        _store(conn, Demo(demo.account_id, demo.sender, told=True))


def find_or_make(installation: Installation) -> Demo:
    """The demo account, made on the first call."""
    with installation.connect() as conn:
        row = conn.execute("SELECT value FROM platform WHERE key = 'demo'").fetchone()
        if row is not None:
            value: dict[str, Any] = row[0]
            return Demo(UUID(value["account_id"]), value["sender"], value["told"])
        now = utc_now()
        account = create_account(conn, name="Demo", balance_micros=BALANCE_MICROS, now=now)
        sender = allot_sender(conn, account_id=account.id, carrier_name=SIMULATOR_CARRIER, now=now)
        demo = Demo(account.id, sender.number, told=False)
        _store(conn, demo)
        return demo


def _store(conn: psycopg.Connection, demo: Demo) -> None:
    value = {"account_id": str(demo.account_id), "sender": demo.sender, "told": demo.told}
    conn.execute(
        "INSERT INTO platform (key, value) VALUES ('demo', %s)"
        " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
        (Jsonb(value),),
    )


def _wait_until_ready(client: DemoClient, console: Console, stopping: Stopping) -> bool:
    began = told = time.monotonic()
    while not client.is_ready():
        if stopping():
            return False
        time.sleep(READY_EVERY_S)
        if time.monotonic() - told > SLOW_START_S:
            told = time.monotonic()
            console.print(
                f"The API is not ready after {told - began:.0f} s: `viesti doctor` says why."
            )
    return True


def _show_first_text(
    client: DemoClient,
    credential: NewCredential,
    demo: Demo,
    console: Console,
    stopping: Stopping,
) -> None:
    def show(mark: str, line: str) -> None:
        console.print(f"  [green]{mark}[/green] {line}", highlight=False, soft_wrap=True)

    client.log_in(credential)
    show("✓", f"account Demo with sender {demo.sender}")
    began = time.monotonic()
    message = client.send(HANDSET, FIRST_TEXT)
    show("→", f"text to {HANDSET}: {FIRST_TEXT}")
    status = client.wait_for_status(message, "delivered", stopping)
    show("✓", f"{status} after {time.monotonic() - began:.1f} s, over SMPP 3.4 and back")
    client.reply_from(HANDSET, demo.sender, FIRST_REPLY)
    reply = client.wait_for_reply(message, stopping)
    show("←", f"reply from {HANDSET}: {reply}")


def _say_where(console: Console, settings: Settings, demo: Demo | None) -> None:
    lines = [("API", settings.base_url)]
    if settings.simulator:
        lines.append(("Handsets", f"{settings.handsets_url}/"))
    lines.append(("Data", str(settings.data_dir)))
    if demo is not None:
        lines.append(("Account id", str(demo.account_id)))
        lines.append(("Sender", demo.sender))
    console.print("\n[bold]Viesti is running[/bold] (Ctrl-C stops it)")
    for title, value in lines:
        _plain(console, f"  {title:<14}{value}")
    if demo is None:
        _plain(console, f"  New account   {shown_program()} account create --name NAME")
    elif demo.told:
        command = f"{shown_program()} credentials create --account {demo.account_id}"
        _plain(console, f"  New secret    {command}")


def _say_secret(console: Console, settings: Settings, credential: NewCredential) -> None:
    """What to paste. The secret is shown this once: only its hash is kept."""
    _plain(console, f"  Client id     {credential.client_id}")
    _plain(console, f"  Client secret {credential.client_secret}")
    base = settings.base_url
    console.print("\n[bold]A token:[/bold]")
    _plain(
        console,
        f"TOKEN=$(curl -s {base}/oauth2/token -d grant_type=client_credentials"
        f" -d client_id={credential.client_id} -d client_secret={credential.client_secret}"
        """ | sed 's/.*"access_token" *: *"\\([^"]*\\)".*/\\1/')""",
    )
    console.print("\n[bold]A first text of your own:[/bold]")
    _plain(
        console,
        f"curl -s {base}/v1/accounts/{credential.account_id}/messages"
        ' -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json"'
        f""" -d '{{"contacts":[{{"mobile":{{"number":"{NEXT_HANDSET}","country":"US"}}}}],"""
        """"template":"Hello!"}'""",
    )
    console.print()


def _plain(console: Console, line: str) -> None:
    """A line as it is: neither wrapped nor coloured, so that it can be copied."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
