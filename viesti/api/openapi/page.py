"""Renders the OpenAPI document as one page without scripts; ``viesti/api/reference.py`` serves it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from viesti.api.openapi.build import JSON, Operation, Schema
from viesti.api.openapi.document import document

_TICKED = re.compile(r"`([^`]+)`")
_METHODS = ("get", "post", "put", "delete")
# Schemas contain each other (a conversation's last message): fields of fields are named only.
MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table of fields; ``path`` as in ``mobile.number`` or ``tags[].tag``."""

    path: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation as the page shows it; ``answers`` are (status, description) pairs."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[dict[str, Any]]
    request: list[Field]
    request_types: list[str]
    curl: str
    response: list[Field]
    response_example: str
    answers: list[tuple[str, str]]


@cache
def reference_page(server: str) -> str:
    """The whole page, for an API at ``server``."""
    source = document(server)
    environment = Environment(
        loader=PackageLoader("viesti.api.openapi", "pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    groups = [
        (tag, [entry for entry in _entries(source, server) if tag["name"] in entry[0]])
        for tag in source["tags"]
    ]
    return environment.get_template("reference.html").render(
        info=source["info"],
        server=server,
        coded=_coded,
        groups=[(tag, [entry for _, entry in found]) for tag, found in groups],
    )


def _entries(source: dict[str, Any], server: str) -> list[tuple[list[str], Entry]]:
    found: list[tuple[list[str], Entry]] = []
    for path, methods in source["paths"].items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                found.append((operation["tags"], _entry(source, server, path, method, operation)))
    return found


def _entry(
    source: dict[str, Any], server: str, path: str, method: str, operation: Operation
) -> Entry:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    json_body: dict[str, Any] = content.get(JSON, {})
    responses: dict[str, dict[str, Any]] = operation["responses"]
    good = next(told for status, told in responses.items() if status.startswith("2"))
    shown: dict[str, Any] = good.get("content", {}).get(JSON, {})
    return Entry(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        parameters=[_resolve(source, given) for given in operation.get("parameters", ())],
        request=_fields(source, json_body.get("schema", {})),
        request_types=list(content),
        curl=_curl(server, path, method, operation, json_body.get("example")),
        response=_fields(source, shown.get("schema", {})),
        response_example=_pretty(shown.get("example")),
        answers=[(status, answer["description"]) for status, answer in responses.items()],
    )


def _curl(server: str, path: str, method: str, operation: Operation, example: Any) -> str:
    base = server.rstrip("/") or "$VIESTI_URL"
    lines = [f'curl -X {method.upper()} "{base}{path.replace("{accountId}", "$ACCOUNT_ID")}"']
    if operation.get("security"):
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if example is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(_pretty(example))}")
    return " \\\n  ".join(lines)


def _coded(text: str) -> Markup:
    """What stands between backticks is shown as code."""
    return Markup(_TICKED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def _pretty(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _resolve(source: dict[str, Any], schema: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = source
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _fields(
    source: dict[str, Any], schema: Schema, prefix: str = "", depth: int = 0
) -> list[Field]:
    schema = _resolve(source, schema)
    found: list[Field] = []
    for part in [*schema.get("allOf", ()), *schema.get("oneOf", ())]:
        found += _fields(source, part, prefix, depth)
    for name, given in schema.get("properties", {}).items():
        inner = _resolve(source, given)
        found.append(Field(prefix + name, _type_of(source, inner), inner.get("description", "")))
        if depth < MAX_DEPTH and inner.get("type") == "array":
            found += _fields(source, inner["items"], f"{prefix}{name}[].", depth + 1)
        elif depth < MAX_DEPTH:
            found += _fields(source, inner, f"{prefix}{name}.", depth + 1)
    return list({field.path: field for field in found}.values())


def _type_of(source: dict[str, Any], schema: Schema) -> str:
    if "enum" in schema:
        return " | ".join(schema["enum"])
    told = {"date-time": "time", "uri": "URL", "binary": "octets"}.get(schema.get("format", ""))
    kinds: str | list[str] = schema.get("type", "object")
    if kinds == "array":
        return f"list of {_type_of(source, _resolve(source, schema['items']))}"
    return told or (kinds if isinstance(kinds, str) else " | ".join(kinds))
