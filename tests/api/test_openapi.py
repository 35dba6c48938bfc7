"""The API's own document: valid, complete, and a superset of the published contract."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.testing import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contract.schema import contract
from viesti.api.openapi.document import document
from viesti.api.openapi.page import reference_page

# Read by machines of the operator, not by clients of the API.
OPERATORS = {"/health", "/ready", "/metrics", "/openapi.json", "/docs", "/docs/reference.css"}
# The same as another address, for clients that ask there.
ALIASES = {"/v1/oauth2/token"}
# Read by whoever got a link.
LINKS = {"/f/{}"}
# Published by RFC 7517's convention, not part of the API.
KEYS = {"/.well-known/jwks.json"}


def resolve(source: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = source
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def properties(source: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    schema = resolve(source, schema)
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        found |= properties(source, part)
    return found


def kind_of(schema: dict[str, Any]) -> Any:
    return "object" if "allOf" in schema else schema.get("type")


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_described_and_every_description_has_a_route(
    http: TestClient[Litestar],
) -> None:
    served: set[tuple[str, str]] = set()
    for route in http.app.routes:
        path = re.sub(r"\{[^}]+\}", "{}", route.path_format)
        if path in OPERATORS | ALIASES | KEYS | LINKS:
            continue
        served |= {(method, path) for method in route.methods - {"OPTIONS", "HEAD"}}
    described = {
        (method.upper(), re.sub(r"\{[^}]+\}", "{}", path))
        for path, methods in document()["paths"].items()
        for method in methods
    }
    assert described == served


def test_every_operation_tells_what_a_reader_needs() -> None:
    seen: set[str] = set()
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            assert operation["operationId"] not in seen, name
            seen.add(operation["operationId"])
            assert operation["summary"], name
            assert {"4XX", "5XX"} <= set(operation["responses"]), name
            if path != "/oauth2/token":
                assert operation["security"] == [{"sakari_auth": ["messages:send"]}], name
            for status, told in operation["responses"].items():
                content = told.get("content", {}).get("application/json")
                if status.startswith("2") and content:
                    assert content["example"], name
            body = operation.get("requestBody", {}).get("content", {})
            if "application/json" in body:
                assert body["application/json"]["example"], name


def test_examples_fit_their_schemas() -> None:
    source = document()
    for path, methods in source["paths"].items():
        for method, operation in methods.items():
            shown = [operation.get("requestBody", {}).get("content", {})]
            shown += [told.get("content", {}) for told in operation["responses"].values()]
            for content in shown:
                for kind in content.values():
                    if "example" in kind:
                        whole = {**kind["schema"], "components": source["components"]}
                        errors = list(Draft202012Validator(whole).iter_errors(kind["example"]))
                        assert not errors, (method, path, errors)


def test_the_document_is_a_superset_of_the_published_contract() -> None:
    ours, base = document(), contract()
    for path, methods in base["paths"].items():
        for method, published in methods.items():
            operation = ours["paths"][path][method]
            assert operation["operationId"] == published["operationId"]
            wanted = {
                (given["in"], given["name"])
                for given in (resolve(base, p) for p in published.get("parameters", ()))
            }
            offered = {
                (given["in"], given["name"])
                for given in (resolve(ours, p) for p in operation.get("parameters", ()))
            }
            assert wanted <= offered, (method, path)
            assert set(published["responses"]) <= set(operation["responses"]), (method, path)
            kinds = set(published.get("requestBody", {}).get("content", {}))
            assert kinds <= set(operation.get("requestBody", {}).get("content", {}))


def test_every_published_schema_keeps_its_properties_and_their_types() -> None:
    ours, base = document(), contract()
    # Unreferenced by any operation, and never sent (api-current.md section 8, rows 3, 5 and 17).
    left = {"AccountEvent", "AccountEventPayload", "EventType", "MessageEventPayload", "Event"}
    for name, published in base["components"]["schemas"].items():
        if name in left:
            continue
        mine = properties(ours, ours["components"]["schemas"][name])
        for field, wanted in properties(base, published).items():
            assert field in mine, f"{name}.{field}"
            had = kind_of(resolve(base, wanted))
            has = kind_of(resolve(ours, mine[field]))
            widened = (name, field) in {("Conversation", "closed"), ("AttributeFilter", "value")}
            assert widened or had is None or has == had, f"{name}.{field}"


def test_the_reference_page_shows_every_operation_and_needs_nothing_from_elsewhere() -> None:
    page = reference_page("https://texts.example.com")
    for methods in document()["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    assert "<script" not in page
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [link for link in sources if not link.startswith(("#", "/"))] == []
