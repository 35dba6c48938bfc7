"""``viesti account`` and ``viesti credentials``."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from viesti.bootstrap import SIMULATOR_CARRIER, Installation, ensure_default_carrier
from viesti.commands.perform import (
    Json,
    Result,
    out,
    perform_on_installation,
    read_id,
    read_money,
    show_fields,
    shown_money,
)
from viesti.db.signals import notify
from viesti.dispatch.settings import DISPATCH_CHANNEL
from viesti.domain.accounts import service as accounts
from viesti.domain.accounts.models import Profile
from viesti.domain.messages.credit import release_credited
from viesti.domain.senders.service import add_sender, allot_sender
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import iso, utc_now

account_app = typer.Typer(no_args_is_help=True, help="Accounts: the platform's tenants.")
credentials_app = typer.Typer(no_args_is_help=True, help="API clients of an account.")


class OnOff(enum.Enum):
    ON = "on"
    OFF = "off"


AccountOption = Annotated[str, typer.Option("--account", help="The account's id.")]


@account_app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What people call it.")],
    sender: Annotated[
        str, typer.Option(help="Its number on the carrier; absent: an unused one.")
    ] = "",
    carrier: Annotated[str, typer.Option(help="The carrier's name.")] = SIMULATOR_CARRIER,
    balance: Annotated[str, typer.Option(help="Opening balance in dollars.")] = "1000",
    notice: Annotated[OnOff, typer.Option(help="First-message notice.")] = OnOff.OFF,
    quiet_hours: Annotated[OnOff, typer.Option(help="Hold texts at night.")] = OnOff.OFF,
    as_json: Json = False,
) -> None:
    """Make an account with a sender and an API client; shows the client's secret once."""

    def work(installation: Installation) -> Result:
        micros = read_money(balance)
        if carrier == SIMULATOR_CARRIER and installation.settings.simulator:
            ensure_default_carrier(installation)
        now = utc_now()
        with installation.connect() as conn:
            account = accounts.create_account(
                conn,
                name=name,
                balance_micros=micros,
                now=now,
                notice=notice is OnOff.ON,
                quiet_hours=quiet_hours is OnOff.ON,
            )
            if sender:
                own = add_sender(
                    conn, account_id=account.id, number=sender, carrier_name=carrier, now=now
                )
            else:
                own = allot_sender(conn, account_id=account.id, carrier_name=carrier, now=now)
            made = accounts.create_credentials(conn, installation.key, account.id, now=now)
        return {
            "accountId": str(account.id),
            "clientId": str(made.client_id),
            "clientSecret": made.client_secret,
            "sender": own.number,
        }

    perform_on_installation(as_json, work, show_fields)


@account_app.command("top-up")
def top_up(
    account: AccountOption,
    amount: Annotated[str, typer.Option(help="How many dollars to add.")],
    note: Annotated[str, typer.Option(help="Stands in the ledger.")] = "",
    as_json: Json = False,
) -> None:
    """Add money to an account's balance."""

    def work(installation: Installation) -> Result:
        micros = read_money(amount)
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            available = accounts.top_up(conn, account_id, micros, now=utc_now(), note=note)
        released = 0
        while True:
            with installation.connect() as conn:
                batch = release_credited(conn, account_id, utc_now())
            if not batch.messages:
                break
            released += batch.messages
            with installation.connect() as conn:
                notify(conn, DISPATCH_CHANNEL, ",".join(str(lane) for lane in batch.lanes))
                if batch.has_events:
                    notify(conn, WEBHOOKS_CHANNEL)
        return {"accountId": account, "balance": shown_money(available), "released": released}

    perform_on_installation(as_json, work, show_fields)


@credentials_app.command("create")
def create_credentials(
    account: AccountOption,
    profile: Annotated[
        Profile, typer.Option(help="Which reading of the contract its answers follow.")
    ] = Profile.PUBLISHED,
    name: Annotated[str, typer.Option(help="To tell API clients apart.")] = "",
    as_json: Json = False,
) -> None:
    """Make an API client; shows its secret once."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            made = accounts.create_credentials(
                conn, installation.key, account_id, now=utc_now(), name=name, profile=profile
            )
        return {
            "accountId": account,
            "clientId": str(made.client_id),
            "clientSecret": made.client_secret,
        }

    perform_on_installation(as_json, work, show_fields)


@credentials_app.command("list")
def list_credentials(account: AccountOption, as_json: Json = False) -> None:
    """All API clients of an account, the revoked ones too."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            found = accounts.list_credentials(conn, account_id)
        return {
            "credentials": [
                {
                    "clientId": str(one.client_id),
                    "name": one.name,
                    "profile": one.profile.value,
                    "createdAt": iso(one.created_at),
                    "revokedAt": iso(one.revoked_at) if one.revoked_at else None,
                }
                for one in found
            ]
        }

    def show(result: Result) -> None:
        for one in result["credentials"]:
            state = f"revoked {one['revokedAt']}" if one["revokedAt"] else "active"
            line = f"{one['clientId']}  {one['profile']:<9}  {one['createdAt']}  {state}"
            line = f"{line}  {one['name']}".rstrip()
            out.print(line, highlight=False, markup=False, soft_wrap=True)

    perform_on_installation(as_json, work, show)


@credentials_app.command("revoke")
def revoke(
    account: AccountOption,
    client: Annotated[str, typer.Option(help="The client's id.")],
    as_json: Json = False,
) -> None:
    """Take an API client's access away for good; its tokens end within 30 seconds."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        client_id = read_id(client, "an API client")
        with installation.connect() as conn:
            since = accounts.revoke_credentials(conn, account_id, client_id, now=utc_now())
        return {"clientId": client, "revokedAt": iso(since)}

    perform_on_installation(as_json, work, show_fields)
