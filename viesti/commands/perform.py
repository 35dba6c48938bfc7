"""How every command runs: settings in, one result out, errors as a sentence and an exit code.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings. With ``--json`` exactly one
object goes to stdout, and an error goes to stderr as ``{"error": {"code", "message"}}``.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, NoReturn
from uuid import UUID

import psycopg
import psycopg_pool
import typer
from rich.console import Console

from viesti.bootstrap import Installation, open_installation
from viesti.kit.config import ConfigError, Settings, load_settings
from viesti.kit.errors import Invalid, Unavailable, ViestiError
from viesti.kit.ids import find_id

FAILED = 1
WRONG_USAGE = 2

Result = Mapping[str, Any]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for scripts.")]

out = Console()
err = Console(stderr=True)


def perform(
    as_json: bool, work: Callable[[Settings], Result], show: Callable[[Result], object]
) -> None:
    """Run ``work`` on the settings and print what it gives; never returns after an error."""
    result = guard(as_json, lambda: work(load_settings()))
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    else:
        show(result)


def perform_on_installation(
    as_json: bool, work: Callable[[Installation], Result], show: Callable[[Result], object]
) -> None:
    """As ``perform``, with the database open; it is started for the time if it does not run."""

    def on_settings(settings: Settings) -> Result:
        with open_installation(settings, report=say) as installation:
            return work(installation)

    perform(as_json, on_settings, show)


def guard(as_json: bool, work: Callable[[], Result]) -> Result:
    """``work``'s result, or the end of the program with the error's sentence."""
    try:
        return work()
    except ConfigError as error:
        fail("CONFIG", str(error), as_json, WRONG_USAGE)
    except ViestiError as error:
        fail(error.code, error.message, as_json)
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        fail(Unavailable.default_code, f"The database does not answer: {first_line}", as_json)
    except OSError as error:
        advice = ": run this as the user that runs viesti" if error.errno == errno.EACCES else ""
        fail("OS", f"{error.filename or 'The system'}: {error.strerror or error}{advice}", as_json)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def fail(code: str, message: str, as_json: bool, exit_code: int = FAILED) -> NoReturn:
    if as_json:
        sys.stderr.write(json.dumps({"error": {"code": code, "message": message}}) + "\n")
    else:
        err.print(f"viesti: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(exit_code)


def say(line: str) -> None:
    """One line about something that takes time; on stderr, where it disturbs no script."""
    err.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)


def show_fields(result: Result) -> None:
    """Name and value, one a line, ready to copy."""
    for name, value in result.items():
        out.print(f"{name:<14} {value}", highlight=False, markup=False, soft_wrap=True)


def read_id(text: str, what: str) -> UUID:
    """Raises Invalid unless ``text`` spells an id."""
    found = find_id(text)
    if found is None:
        raise Invalid(f"{text} is not the id of {what}.")
    return found


def read_money(text: str) -> int:
    """An amount such as ``12.50`` in micro-units. Raises Invalid below a millionth or no number."""
    try:
        micros = Decimal(text) * 1_000_000
    except InvalidOperation:
        raise Invalid(f"{text} is not an amount of money, such as 12.50.") from None
    if not micros.is_finite() or micros != micros.to_integral_value() or abs(micros) > 10**15:
        raise Invalid(f"{text} is not an amount of money, such as 12.50.")
    return int(micros)


def shown_money(micros: int) -> float:
    return micros / 1_000_000
