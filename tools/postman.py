"""Make docs/viesti.postman_*.json from our OpenAPI document: ``python -m tools.postman``.

The same document gives the same files; tests/test_postman.py holds them equal to it.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from tools.postman_steps import FOLDERS, SET_BEFORE, Step
from viesti.api.openapi import examples
from viesti.api.openapi.document import document

DOCS = Path(__file__).parent.parent / "docs"
COLLECTION = DOCS / "viesti.postman_collection.json"
ENVIRONMENT = DOCS / "viesti.postman_environment.json"
# Lies beside the collection; newman finds it by --working-dir.
SHARED_FILE = "handsets.png"

_FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_NAMESPACE = uuid.UUID("8f14a3f2-6f0b-5b5e-9d61-0c6c7e0f8d11")
_JSON = "application/json"
_DESCRIPTION = """\
Every call of the API, in an order that works from top to bottom.

1. Import this collection and `viesti.postman_environment.json`.
2. Fill in AccountId, ClientId and ClientSecret; `make run` or `viesti account create` prints them.
3. Send *Get an access token*; all other requests use its token. Then send the others one by one, or
   run the whole collection.

*Share a file by a short link* needs a file: choose `handsets.png` from this folder, or any picture.
For a run of the whole collection, set the app's working directory to this folder.

With newman: `newman run viesti.postman_collection.json -e viesti.postman_environment.json`, in this
folder.
"""
# What an example calls by an id of its own is what the collection made.
_MADE = {
    examples.CONTACT_ID: "{{contactId}}",
    examples.MESSAGE_ID: "{{messageId}}",
    examples.CONVERSATION_ID: "{{conversationId}}",
    examples.JOB_ID: "{{jobId}}",
    examples.TEMPLATE_ID: "{{templateId}}",
    examples.CAMPAIGN_ID: "{{campaignId}}",
    examples.GROUP_ID: "{{groupId}}",
    examples.LIST_ID: "{{listId}}",
}
_CREDENTIALS = {"client_id": "{{ClientId}}", "client_secret": "{{ClientSecret}}"}


def collection() -> dict[str, Any]:
    """The collection, in Postman's format v2.1."""
    source = document()
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in source["paths"].items()
        for method, operation in methods.items()
    }
    folders: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for name, steps in FOLDERS.items():
        items: list[dict[str, Any]] = []
        for step in steps:
            seen[step.operation] = seen.get(step.operation, 0) + 1
            items.append(_item(source, step, seen[step.operation], *operations[step.operation]))
        folders.append({"name": name, "item": items})
    missing = sorted(set(operations) - set(seen))
    if missing:
        raise SystemExit(f"Give these operations a step in tools/postman_steps.py: {missing}")
    kept = {name for steps in FOLDERS.values() for step in steps for name in step.keeps}
    return {
        "info": {
            "_postman_id": _id("collection"),
            "name": "Viesti",
            "description": _DESCRIPTION,
            "schema": _FORMAT,
        },
        "auth": {"type": "bearer", "bearer": [_text("token", "{{token}}")]},
        "variable": [_text(name, "") for name in sorted(kept.union(SET_BEFORE))],
        "item": folders,
    }


def environment() -> dict[str, Any]:
    """The environment: where the API is, and as whom to call it."""
    values = {
        "BaseUrl": "http://127.0.0.1:8080",
        "AccountId": "",
        "ClientId": "",
        "ClientSecret": "",
    }
    return {
        "id": _id("environment"),
        "name": "Viesti",
        "values": [
            {
                "key": name,
                "value": value,
                "type": "secret" if name == "ClientSecret" else "default",
                "enabled": True,
            }
            for name, value in values.items()
        ],
        "_postman_variable_scope": "environment",
    }


def written(value: dict[str, Any]) -> str:
    """The text of a file that holds ``value``."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _item(
    source: dict[str, Any],
    step: Step,
    time: int,
    method: str,
    path: str,
    operation: dict[str, Any],
) -> dict[str, Any]:
    status, success = next(
        (int(status), told)
        for status, told in operation["responses"].items()
        if status.startswith("2")
    )
    example = success.get("content", {}).get(_JSON, {}).get("example")
    request: dict[str, Any] = {
        "method": method,
        "header": _headers(source, operation),
        "url": _url(source, step, path, operation),
        "description": operation.get("description", ""),
    }
    if not operation.get("security"):
        request["auth"] = {"type": "noauth"}
    body = _body(step, operation)
    if body:
        request["body"] = body
        if body["mode"] == "raw":
            kind = "text/csv" if step.csv else _JSON
            request["header"] = [{"key": "Content-Type", "value": kind}, *request["header"]]
    events = [_script("test", _tests(step, path, status, example))]
    if step.before:
        events.insert(0, _script("prerequest", step.before))
    return {
        "id": step.operation + (f".{time}" if time > 1 else ""),
        "name": step.title or operation["summary"],
        "event": events,
        "request": request,
        "response": [] if step.title or example is None else [_shown(status, example)],
    }


def _headers(source: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    given = (_resolve(source, parameter) for parameter in operation.get("parameters", ()))
    return [
        {"key": parameter["name"], "value": "{{$guid}}", "description": parameter["description"]}
        for parameter in given
        if parameter["in"] == "header"
    ]


def _url(
    source: dict[str, Any], step: Step, path: str, operation: dict[str, Any]
) -> dict[str, Any]:
    parts: list[str] = []
    for part in path.strip("/").split("/"):
        name = part.strip("{}")
        if part == name:
            parts.append(part)
        else:
            parts.append(
                "{{AccountId}}" if name == "accountId" else step.paths.get(name, f"{{{part}}}")
            )
    raw = "/".join(["{{BaseUrl}}", *parts])
    queries = [
        {
            "key": given["name"],
            "value": step.queries.get(given["name"], ""),
            "description": given["description"],
        }
        | ({} if given["name"] in step.queries else {"disabled": True})
        for given in (_resolve(source, parameter) for parameter in operation.get("parameters", ()))
        if given["in"] == "query"
    ]
    asked = "&".join(f"{name}={value}" for name, value in step.queries.items())
    url: dict[str, Any] = {
        "raw": raw + (f"?{asked}" if asked else ""),
        "host": ["{{BaseUrl}}"],
        "path": parts,
    }
    return url | ({"query": queries} if queries else {})


def _body(step: Step, operation: dict[str, Any]) -> dict[str, Any] | None:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    if step.csv:
        return {"mode": "raw", "raw": step.csv}
    if _JSON not in content:
        if not content:
            return None
        [name] = content["multipart/form-data"]["schema"]["properties"]
        return {"mode": "formdata", "formdata": [{"key": name, "type": "file", "src": SHARED_FILE}]}
    example = _filled(content[_JSON]["example"])
    if step.operation == "auth.token":
        example |= _CREDENTIALS
    example = {name: value for name, value in (example | step.sets).items() if value is not None}
    return {
        "mode": "raw",
        "raw": json.dumps(example, indent=2, ensure_ascii=False),
        "options": {"raw": {"language": "json"}},
    }


def _filled(value: Any) -> Any:
    """``value`` with the ids of examples replaced by the collection's variables."""
    if isinstance(value, dict):
        return {name: _filled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner) for inner in value]
    return _MADE.get(value, value) if isinstance(value, str) else value


def _tests(step: Step, path: str, status: int, example: Any) -> str:
    lines = [
        f'pm.test("answers {status}, as documented", () => pm.response.to.have.status({status}));'
    ]
    if example is None:
        return "\n".join(lines)
    checks: list[str] = []
    if "success" in example:
        checks.append("pm.expect(body.success).to.equal(true);")
    data = example.get("data")
    if isinstance(data, list) and not step.csv:
        checks.append("pm.expect(body.data).to.be.an('array').that.is.not.empty;")
        checks.append(f"pm.expect(body.data[0]).to.include.keys({json.dumps(_sure(data[0]))});")
        checks.append("pm.expect(body.pagination.totalCount).to.be.at.least(1);")
    elif isinstance(data, dict):
        checks.append(f"pm.expect(body.data).to.include.keys({json.dumps(_sure(data))});")
    elif data is None and "success" not in example:
        checks.append(f"pm.expect(body).to.include.keys({json.dumps(list(example))});")
    own = path.rsplit("/", 1)[-1]
    if own.startswith("{") and isinstance(data, dict):
        name = step.paths.get(own[1:-1], "{" + own + "}")[2:-2]
        checks.append(f'pm.expect(body.data.id).to.equal(pm.collectionVariables.get("{name}"));')
    lines.append("const body = pm.response.json();")
    lines.append('pm.test("gives what is documented", () => {')
    lines += [f"  {check}" for check in (*checks, *step.checks)]
    lines.append("});")
    lines += [
        f'pm.collectionVariables.set("{name}", {found});' for name, found in step.keeps.items()
    ]
    return "\n".join(lines)


def _sure(example: dict[str, Any]) -> list[str]:
    """The fields that an answer always has, whatever the account holds."""
    return ["id"] if "id" in example else list(example)


def _shown(status: int, example: Any) -> dict[str, Any]:
    return {
        "name": "Example",
        "code": status,
        "header": [{"key": "Content-Type", "value": _JSON}],
        "body": json.dumps(example, indent=2, ensure_ascii=False),
        "_postman_previewlanguage": "json",
    }


def _script(listen: str, code: str) -> dict[str, Any]:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": code.split("\n")}}


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": value, "type": "string"}


def _resolve(source: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = source
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _id(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def main() -> None:
    COLLECTION.write_text(written(collection()), encoding="utf-8")
    ENVIRONMENT.write_text(written(environment()), encoding="utf-8")
    print(f"{COLLECTION.name} and {ENVIRONMENT.name} are made.")


if __name__ == "__main__":
    main()
