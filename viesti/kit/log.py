"""Structured logs: ids and codes, never texts, numbers or secrets.

Each command calls ``set_up`` once; modules log through ``structlog.get_logger()``.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from viesti.kit.config import ConfigError, LogFormat, Settings
from viesti.kit.errors import ViestiError

# A field by one of these names is dropped, whatever is in it: forgetting once must not leak.
FORBIDDEN_KEYS = frozenset(
    {
        "access_token",
        "authorization",
        "body",
        "client_secret",
        "contact",
        "destination",
        "dsn",
        "message",
        "mobile",
        "msisdn",
        "number",
        "password",
        "payload",
        "phone",
        "secret",
        "secret_key",
        "sender",
        "source",
        "text",
        "token",
    }
)


def drop_forbidden(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take out fields that may carry a text, a phone number or a secret; say how many."""
    forbidden = [key for key in event if key.lower() in FORBIDDEN_KEYS]
    for key in forbidden:
        del event[key]
    if forbidden:
        event["dropped_fields"] = len(forbidden)
    return event


def plain_exception(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Write an exception as its kind and the places it passed.

    Its message stays out unless we wrote it: a database's says which number was there twice.
    """
    error: object = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = cast("tuple[object, ...]", error)[1]
    if not isinstance(error, BaseException):
        return event
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, ViestiError | ConfigError):
        kind += f": {error}"
    elif (state := getattr(error, "sqlstate", None)) is not None:
        kind += f" {state}"
    places = [
        f"  {frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    event["exception"] = "\n".join([kind, *places])
    return event


def set_up(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Send this process's logs to ``stream`` (stderr), tagged with ``role``.

    The standard library's records (of libraries) go the same way, from warnings up.
    """
    out = stream if stream is not None else sys.stderr
    human = settings.log_format is LogFormat.HUMAN or (
        settings.log_format is LogFormat.AUTO and out.isatty()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_forbidden,
    ]
    last: list[structlog.typing.Processor] = [
        plain_exception,
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if human
        else structlog.processors.JSONRenderer(),
    ]
    level = logging.getLevelNamesMapping()[settings.log_level.name]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
