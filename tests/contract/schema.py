"""Checks answers against the published contract; used by every test that asks the API.

The contract is widened in two places only, where newer documentation of the same API differs:
a webhook's event types are the union of both published lists, and ``Conversation.closed`` is a
time or null rather than a flag.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from httpx import Response
from jsonschema import Draft202012Validator, FormatChecker

from viesti.events.catalogue import EventType

_ACCOUNT = "/v1/accounts/{accountId}"
_NO_BODY = 204
# Of a long list as many rows are checked.
MAX_CHECKED = 100


@cache
def contract() -> dict[str, Any]:
    """The published document, widened as the module says."""
    document = json.loads((Path(__file__).parent / "api-v1.json").read_text())
    schemas = document["components"]["schemas"]
    schemas["Webhook"]["properties"]["eventTypes"]["items"]["enum"] = [
        kind.value for kind in EventType
    ]
    schemas["Conversation"]["properties"]["closed"] = {
        "type": ["string", "null"],
        "format": "date-time",
    }
    return document


@cache
def _operations() -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    found: list[tuple[str, re.Pattern[str], dict[str, Any]]] = []
    for path, methods in contract()["paths"].items():
        if not path.startswith(_ACCOUNT):
            continue
        pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path.removeprefix(_ACCOUNT)) + "/?")
        found += [(method.upper(), pattern, spec) for method, spec in methods.items()]
    return found


def _resolve(reference: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in reference:
        found: Any = contract()
        for part in reference["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        reference = found
    return reference


def check_answer(method: str, path: str, answer: Response) -> None:
    """Assert that ``answer`` to ``path`` below an account is what the contract declares."""
    assert answer.headers["x-request-id"]
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400:
        body = answer.json()
        assert body["success"] is False
        assert isinstance(body["error"]["code"], str)
        assert isinstance(body["error"]["message"], str)
        return
    bare = path.partition("?")[0]
    for verb, pattern, spec in _operations():
        if verb != method or not pattern.fullmatch(bare):
            continue
        declared = [status for status in spec["responses"] if status.startswith("2")]
        assert str(answer.status_code) in declared
        if answer.status_code == _NO_BODY:
            assert answer.content == b""
            return
        response = _resolve(spec["responses"][str(answer.status_code)])
        schema = response["content"]["application/json"]["schema"]
        body = answer.json()
        if isinstance(body.get("data"), list):
            body["data"] = body["data"][:MAX_CHECKED]
        check_value(schema, body)
        return


def check_value(schema: dict[str, Any], value: Any) -> None:
    """Assert that ``value`` fits ``schema``, whose references lead into the contract."""
    whole = {**schema, "components": contract()["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)
