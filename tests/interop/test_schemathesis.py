"""Requests that a fuzzer makes from the contract: no 5xx, no shape that is not documented.

Every operation must reach its 2xx at least once, for a run in which all is refused proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.schema import contract
from tests.flows.conftest import Platform, start_platform
from tests.flows.rig import Account
from tests.interop.seeds import Seeds
from viesti.api.openapi.document import document

pytestmark = pytest.mark.interop

EXAMPLES = 40
# Half of the calls name what exists, so that more than the first look-up is tried.
REAL = 2


@pytest.fixture(scope="module")
def platform() -> Generator[Platform]:
    yield from start_platform(rate_limit_per_s=0)


@pytest.fixture(scope="module")
def account(platform: Platform) -> Account:
    return platform.account("--balance", "1000000")


def operations(source: dict[str, Any]) -> list[Any]:
    schema = schemathesis.openapi.from_dict(source)
    return [result.ok() for result in schema.get_all_operations()]


def base_checks() -> list[Any]:
    # The published contract lists no refusals for most operations: those are checked below.
    return [not_a_server_error, response_schema_conformance]


def own_checks() -> list[Any]:
    return [*base_checks(), status_code_conformance, content_type_conformance]


CASES = [
    pytest.param(operation, checks, id=f"{name}-{operation.label}")
    for name, source, checks in (
        ("base", contract(), base_checks()),
        ("own", document(), own_checks()),
    )
    for operation in operations(source)
]


@pytest.mark.parametrize(("operation", "checks"), CASES)
def test_no_request_breaks_the_operation(
    platform: Platform, account: Account, operation: APIOperation, checks: list[Any]
) -> None:
    seeds = Seeds(account)
    seen: Counter[int] = Counter()
    calls = 0

    # Dear to make, and not used up: one for all calls.
    shared = {"importId": seeds.import_()} if "{importId}" in operation.path else {}

    def attempt(case: Case) -> None:
        nonlocal calls
        calls += 1
        for name in list(case.path_parameters or {}):
            if (name == "accountId" or calls % REAL) and seeds.knows(name):
                case.path_parameters[name] = shared.get(name) or seeds.of(name)
        ask(case)

    def ask(case: Case) -> None:
        case.headers = {
            **dict(case.headers or {}),
            "Authorization": account.http.headers["authorization"],
        }
        answer = case.call(base_url=platform.base)
        seen[answer.status_code] += 1
        if answer.status_code >= 400 and operation.path != "/oauth2/token":
            body = answer.json()
            assert body["success"] is False
            assert body["error"]["code"]
            assert body["error"]["message"]
        case.validate_response(answer, checks=checks)

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            fuzzed = given(case=strategy)(attempt_of(attempt))
            settings(
                max_examples=EXAMPLES,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(fuzzed)()
        except Unsatisfiable:
            # Nothing wrong can be written where everything is a text.
            assert mode is GenerationMode.NEGATIVE
    ask(known_good(operation, account, seeds, shared))
    assert any(200 <= status < 300 for status in seen), seen
    assert not [status for status in seen if status >= 500], seen


def attempt_of(attempt: Any) -> Any:
    def run(case: Case) -> None:
        attempt(case)

    return run


def known_good(
    operation: APIOperation, account: Account, seeds: Seeds, shared: dict[str, str]
) -> Case:
    """A call that must succeed: the documented example with ids that exist."""
    described = document()["paths"][operation.path][operation.method.lower()]
    content = described.get("requestBody", {}).get("content", {})
    kind = next(iter(content), None)
    example = content[kind].get("example") if kind else None
    if operation.path == "/oauth2/token":
        example = {
            "grant_type": "client_credentials",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
        }
    if operation.path == "/v1/tools/sharefile":
        example = b"\x89PNG\r\n\x1a\n" + bytes(100)
    if operation.path.endswith("/webhooks") and example:
        example = example | {"url": "http://127.0.0.1:9/known-good"}
    parameters = {
        name.name: shared.get(name.name) or seeds.of(name.name)
        for name in operation.path_parameters
        if seeds.knows(name.name)
    }
    if operation.path.endswith("/quickcampaigns"):
        example = example | {"groupId": account.account_id, "listId": seeds.list_()}
    if operation.path.endswith("/campaigns/{campaignId}/cancel"):
        parameters["campaignId"] = seeds.running_campaign()
    if operation.path.endswith("/campaigns/{campaignId}/file"):
        parameters["campaignId"] = seeds.campaign("FU")
        example = "Mobile\n+13475550199\n"
    case = operation.Case(path_parameters=parameters, media_type=kind)
    if example is not None:
        case.body = example
    return case
