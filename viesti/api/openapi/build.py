"""The vocabulary in which the operations are written down; used by the modules beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from viesti.kit.codes import CATALOGUE, EMBEDDED

Schema = dict[str, Any]
Operation = dict[str, Any]
# Path -> method -> operation.
Paths = dict[str, dict[str, Operation]]

ACCOUNT = "/v1/accounts/{accountId}"
SCOPE = "messages:send"
JSON = "application/json"
# Refusals that any call with a token may meet.
_COMMON = ("GEN-400", "GEN-401", "ACCT-008", "GEN-429")


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def text(description: str = "", **more: Any) -> Schema:
    return {"type": "string"} | ({"description": description} if description else {}) | more


def moment(description: str = "") -> Schema:
    return text(description, format="date-time")


def number(description: str = "") -> Schema:
    return {"type": "number"} | ({"description": description} if description else {})


def whole(description: str = "", **more: Any) -> Schema:
    return {"type": "integer"} | ({"description": description} if description else {}) | more


def flag(description: str = "") -> Schema:
    return {"type": "boolean"} | ({"description": description} if description else {})


def many(items: Schema, description: str = "", **more: Any) -> Schema:
    told = {"description": description} if description else {}
    return {"type": "array", "items": items} | told | more


def fields(properties: Mapping[str, Schema], description: str = "", **more: Any) -> Schema:
    told = {"description": description} if description else {}
    return {"type": "object", "properties": dict(properties)} | told | more


def enum(*values: str, description: str = "") -> Schema:
    return text(description, enum=list(values))


def query(name: str, schema: Schema, description: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": description,
    }


def header(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 255},
        "description": description,
    }


def in_path(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": description,
    }


def body(schema: Schema, example: Any = None, *, required: bool = True, **others: Schema) -> Schema:
    """A JSON request body; ``others`` are further content types, ``/`` written as ``__``."""
    content: dict[str, Any] = {JSON: {"schema": schema}}
    if example is not None:
        content[JSON]["example"] = example
    for name, other in others.items():
        content[name.replace("__", "/").replace("_", "-")] = {"schema": other}
    return {"required": required, "content": content}


def csv_body() -> Schema:
    """A CSV file, as the body itself or as a part of a form."""
    return {
        "required": True,
        "content": {
            "text/csv": {"schema": text("a header row, then one contact a row")},
            "multipart/form-data": {
                "schema": fields({"file": text(format="binary")}, "the file as a part of a form")
            },
        },
    }


def answer(schema: Schema, example: Any = None, description: str = "success") -> Schema:
    shown: dict[str, Any] = {"schema": schema}
    if example is not None:
        shown["example"] = example
    return {"description": description, "content": {JSON: shown}}


def operation(
    name: str,
    tag: str,
    summary: str,
    *,
    description: str = "",
    parameters: Sequence[Schema] = (),
    request: Schema | None = None,
    answers: Mapping[str, Schema],
    refusals: Iterable[str] = (),
    public: bool = False,
) -> Operation:
    """One operation; ``refusals`` are the codes of its own, beside those of every call."""
    made: Operation = {"operationId": name, "tags": [tag], "summary": summary}
    if description:
        made["description"] = description
    if not public:
        made["security"] = [{"sakari_auth": [SCOPE]}]
    if parameters:
        made["parameters"] = list(parameters)
    if request is not None:
        made["requestBody"] = request
    made["responses"] = dict(answers) | _refused([*(() if public else _COMMON), *refusals])
    return made


def _refused(codes: Iterable[str]) -> dict[str, Schema]:
    by_status: dict[str, list[str]] = {}
    for code in codes:
        info = CATALOGUE[code]
        if info.status != EMBEDDED:
            by_status.setdefault(str(info.status), []).append(f"`{code}`: {info.meaning}")
    failed = {JSON: {"schema": ref("ErrorResponse")}}
    told = {
        status: {"description": " ".join(dict.fromkeys(lines)), "content": failed}
        for status, lines in sorted(by_status.items())
    }
    return told | {
        "4XX": {"description": "The request was refused.", "content": failed},
        "5XX": {"description": "Something failed on our side.", "content": failed},
    }


def listed(name: str, tag: str, summary: str, schema: str, example: Any, **more: Any) -> Operation:
    """A list operation: pages of ``schema``, with ``offset`` and ``limit``."""
    parameters = [
        parameter("accountId"),
        parameter("offset"),
        parameter("limit"),
        *more.pop("parameters", ()),
    ]
    shown = {"success": True, "data": [example], "pagination": PAGE}
    return operation(
        name,
        tag,
        summary,
        parameters=parameters,
        answers={"200": answer(ref(schema), shown)},
        **more,
    )


def after() -> Schema:
    """The parameter of lists that can be walked."""
    return query("after", text(), "walk on behind this id, the `pagination.after` of a page")


PAGE = {"offset": 0, "limit": 25, "totalCount": 1, "hasNext": False}


def envelope(schema: Schema) -> Schema:
    return fields({"success": flag(), "data": schema}, required=["success", "data"])


def page_of(schema: Schema) -> Schema:
    return {"allOf": [ref("PaginatedResponse"), fields({"data": many(schema)}, required=["data"])]}


IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "a repeat of the call with the same key within 24 hours sends nothing again",
)
