"""``viesti carrier`` and ``viesti sender``."""

from __future__ import annotations

from typing import Annotated

import typer

from viesti.bootstrap import Installation
from viesti.commands.perform import Json, Result, perform_on_installation, read_id, show_fields
from viesti.domain.senders import service as senders
from viesti.domain.senders.models import (
    BindMode,
    CarrierHabits,
    CarrierKind,
    IdFormat,
    ReceiptHabit,
    SmppAccount,
    UnknownOutcome,
)
from viesti.kit.clock import utc_now

carrier_app = typer.Typer(no_args_is_help=True, help="Carrier accounts that texts go out over.")
sender_app = typer.Typer(no_args_is_help=True, help="Numbers and names that texts leave from.")


@carrier_app.command("add")
def add_carrier(
    name: Annotated[str, typer.Option(help="What the other commands call it.")],
    host: Annotated[str, typer.Option(help="Address of the SMSC.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its SMPP port.")],
    system_id: Annotated[str, typer.Option("--system-id", help="Who we are to it.")],
    password: Annotated[str, typer.Option(help="Its password, stored encrypted.")],
    kind: Annotated[CarrierKind, typer.Option(help="Its protocol.")] = CarrierKind.SMPP,
    window: Annotated[int, typer.Option(help="Unanswered segments per bind.")] = 100,
    rate: Annotated[float, typer.Option(help="Segments a second; 0: unlimited.")] = 0.0,
    max_binds: Annotated[int, typer.Option("--max-binds", help="Connections at most.")] = 1,
    bind_mode: Annotated[
        BindMode, typer.Option(help="One connection for both ways, or a pair.")
    ] = BindMode.TRANSCEIVER,
    id_format: Annotated[
        IdFormat, typer.Option(help="How receipts spell the ids of answers; auto: learned.")
    ] = IdFormat.AUTO,
    receipts: Annotated[
        ReceiptHabit, typer.Option(help="Which segments of a text it confirms.")
    ] = ReceiptHabit.EACH,
    unknown_outcome: Annotated[
        UnknownOutcome, typer.Option(help="A segment without an answer: hold it, or send it again.")
    ] = UnknownOutcome.HOLD,
    as_json: Json = False,
) -> None:
    """Add a carrier account; dispatch binds to it within two seconds."""

    def work(installation: Installation) -> Result:
        with installation.connect() as conn:
            made = senders.add_carrier(
                conn,
                installation.key,
                name=name,
                smpp=SmppAccount(host, port, system_id, password),
                now=utc_now(),
                window=window,
                rate_per_s=rate,
                max_binds=max_binds,
                habits=CarrierHabits(bind_mode, id_format, receipts, unknown_outcome),
            )
        return {"carrierId": str(made.id), "name": made.name, "kind": kind.value}

    perform_on_installation(as_json, work, show_fields)


@sender_app.command("add")
def add_sender(
    account: Annotated[str, typer.Option(help="The account's id.")],
    number: Annotated[str, typer.Option(help="+E164, a short code, or a name.")],
    carrier: Annotated[str, typer.Option(help="The carrier's name.")],
    rate: Annotated[float, typer.Option(help="Segments a second; 0: unlimited.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Give a number of a carrier to an account."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            made = senders.add_sender(
                conn,
                account_id=account_id,
                number=number,
                carrier_name=carrier,
                now=utc_now(),
                rate_per_s=rate,
            )
        return {
            "senderId": str(made.id),
            "accountId": account,
            "number": made.number,
            "carrier": carrier,
        }

    perform_on_installation(as_json, work, show_fields)
