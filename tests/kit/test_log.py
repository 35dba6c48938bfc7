"""viesti/kit/log.py."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator

import psycopg
import pytest
import structlog

from viesti.kit.config import LogFormat, LogLevel, Settings
from viesti.kit.log import FORBIDDEN_KEYS, set_up


@pytest.fixture
def stream() -> Generator[io.StringIO]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def test_a_line_is_json_with_role_and_time_when_not_on_a_terminal(stream: io.StringIO) -> None:
    set_up(Settings(), "dispatch", stream)
    structlog.get_logger().info("bound", carrier="simulator")
    line = json.loads(stream.getvalue())
    assert line["event"] == "bound"
    assert line["role"] == "dispatch"
    assert line["carrier"] == "simulator"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.HUMAN])
@pytest.mark.parametrize("key", sorted(FORBIDDEN_KEYS))
def test_texts_numbers_and_secrets_never_get_out(
    stream: io.StringIO, form: LogFormat, key: str
) -> None:
    set_up(Settings(log_format=form), "api", stream)
    structlog.get_logger().warning("odd", **{key: "hush"})
    assert "hush" not in stream.getvalue()
    assert "dropped_fields" in stream.getvalue()


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.HUMAN])
def test_an_exception_keeps_its_place_but_not_the_data_in_its_message(
    stream: io.StringIO, form: LogFormat, conn: psycopg.Connection
) -> None:
    set_up(Settings(log_format=form), "api", stream)
    try:
        conn.execute("SELECT '+13475550101'::int")
    except psycopg.Error:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")
    written = stream.getvalue()
    assert written.count("NumericValueOutOfRange 22003") == 2
    assert "test_log.py" in written
    assert "3475550101" not in written


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    set_up(Settings(log_level=LogLevel.WARNING), "api", stream)
    structlog.get_logger().info("chatter")
    logging.getLogger("library").info("chatter")
    assert stream.getvalue() == ""
