"""The Postman collection in docs/ is what tools/postman.py makes of the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from tools.postman import COLLECTION, ENVIRONMENT, SHARED_FILE, collection, environment, written
from viesti.api.openapi.document import document


def requests() -> list[dict[str, Any]]:
    made = json.loads(COLLECTION.read_text(encoding="utf-8"))
    return [request for folder in made["item"] for request in folder["item"]]


def test_the_files_are_what_the_tool_makes() -> None:
    told = "run: .venv/bin/python -m tools.postman"
    assert COLLECTION.read_text(encoding="utf-8") == written(collection()), told
    assert ENVIRONMENT.read_text(encoding="utf-8") == written(environment()), told


def test_every_operation_is_requested_and_checked() -> None:
    ids = [request["id"] for request in requests()]
    assert len(set(ids)) == len(ids)
    described = {
        operation["operationId"]
        for methods in document()["paths"].values()
        for operation in methods.values()
    }
    assert {".".join(name.split(".")[:2]) for name in ids} == described
    for request in requests():
        [checks] = [event for event in request["event"] if event["listen"] == "test"]
        assert "pm.test(" in checks["script"]["exec"][0], request["name"]


def test_no_id_of_an_example_is_left_in_a_request() -> None:
    for request in requests():
        assert "01954f2a-" not in json.dumps(request["request"]), request["name"]


def test_the_environment_asks_for_an_address_and_three_values() -> None:
    values = json.loads(ENVIRONMENT.read_text(encoding="utf-8"))["values"]
    given = {value["key"]: value["value"] for value in values}
    address = {"BaseUrl": "http://127.0.0.1:8080"}
    assert given == address | dict.fromkeys(("AccountId", "ClientId", "ClientSecret"), "")
    assert (COLLECTION.parent / SHARED_FILE).is_file()
