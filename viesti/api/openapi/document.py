"""Puts the OpenAPI 3.1 document together; ``viesti/api/reference.py`` serves it."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from viesti import __version__
from viesti.api.openapi import (
    campaigns,
    contacts,
    conversations,
    lists,
    messages,
    platform,
    schemas_campaigns,
    schemas_common,
    schemas_people,
    schemas_texts,
    templates,
    webhooks,
)
from viesti.api.openapi.build import Paths, Schema

_SUMMARY = "Business text messaging: bulk, personalised, two-way."
_DESCRIPTION = (
    "The Sakari Messaging REST API v1, served by Viesti. Ask for a token at `/oauth2/token` with"
    " the account's client id and secret, and send it as `Authorization: Bearer` with each call."
    " Unknown fields and parameters are ignored; a field without a value is left out."
)
_TAGS = {
    "authentication": "Tokens by OAuth2 client credentials.",
    "messages": "Texts in and out, and the jobs that sends become.",
    "contacts": "Whom the account texts.",
    "conversations": "Threads between a sender and a contact.",
    "templates": "Texts with placeholders.",
    "campaigns": "Sends that are planned, repeated and reported.",
    "lists": "Named sets of contacts.",
    "groups": "Who answers which numbers.",
    "webhooks": "Events, posted to a URL of yours.",
    "tools": "Shared files.",
}
_RESOURCES = (platform, messages, contacts, lists, conversations, templates, campaigns, webhooks)


def paths() -> Paths:
    """Every operation by path; the paths are written as the published contract writes them."""
    found: Paths = {}
    for resource in _RESOURCES:
        for path, methods in resource.PATHS.items():
            found.setdefault(path, {}).update(methods)
    return found


def schemas() -> dict[str, Schema]:
    parts = (schemas_common, schemas_people, schemas_texts, schemas_campaigns, lists)
    return {name: schema for part in parts for name, schema in part.SCHEMAS.items()}


@cache
def document(server: str = "/") -> dict[str, Any]:
    """The whole document for an API at ``server``, a URL or ``/`` for where it was read."""
    used = {
        tag
        for methods in paths().values()
        for operation in methods.values()
        for tag in operation["tags"]
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Viesti",
            "version": __version__,
            "summary": _SUMMARY,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [
            {"name": name, "description": told} for name, told in _TAGS.items() if name in used
        ],
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "parameters": schemas_common.PARAMETERS,
            "securitySchemes": schemas_common.SECURITY_SCHEMES,
        },
    }


@cache
def document_bytes(server: str = "/") -> bytes:
    """``document`` as JSON."""
    return msgspec.json.format(msgspec.json.encode(document(server)), indent=2)
