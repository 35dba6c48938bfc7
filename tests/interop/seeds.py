"""Real ids for the operations of the API, made anew as calls use them up."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.flows.rig import Account, until

# One for each contact that is made: equal numbers would be one contact.
_numbers = (f"+1347555{number:04d}" for number in itertools.count(1000))
_names = itertools.count()
_hooks = (f"http://127.0.0.1:9/{number}" for number in itertools.count())


class Seeds:
    """Makes what a path parameter of the API can name, through the API itself."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._make: dict[str, Callable[[], str]] = {
            "contactId": self.contact,
            "messageId": lambda: self.message()["id"],
            "conversationId": lambda: self.message()["conversation"]["id"],
            "jobId": lambda: self.message()["job"]["id"],
            "templateId": self.template,
            "campaignId": self.campaign,
            "listId": self.list_,
            "importId": self.import_,
            "url": self.webhook,
            "webhookId": self.webhook,
        }

    def of(self, parameter: str) -> str:
        """A fresh value for the path parameter."""
        if parameter == "accountId":
            return self._account.account_id
        return self._make[parameter]()

    def knows(self, parameter: str) -> bool:
        return parameter == "accountId" or parameter in self._make

    def contact(self) -> str:
        return self._post("contacts", {"mobile": {"number": next(_numbers)}})[0]["id"]

    def message(self) -> dict[str, Any]:
        sent = {"contacts": [{"mobile": next(_numbers)}], "template": "Hi"}
        return self._post("messages", sent)["messages"][0]

    def template(self) -> str:
        return self._post("templates", {"name": "T", "template": "Hi", "type": "SMS"})[0]["id"]

    def campaign(self, trigger: str = "M") -> str:
        """One that can be run: it has a recipient, or waits for its file."""
        wanted: dict[str, Any] = {"name": "C", "template": "Hi", "trigger": {"code": trigger}}
        if trigger == "M":
            wanted["filters"] = {"contacts": [self.contact()]}
        return self._post("campaigns", wanted)["id"]

    def running_campaign(self) -> str:
        campaign = self.campaign()
        self._post(f"campaigns/{campaign}/execute", {})
        return campaign

    def list_(self) -> str:
        return self._post("lists", {"name": f"List {next(_names)}"})["id"]

    def import_(self) -> str:
        """A file of more rows than one call works off."""
        rows = "".join(f"+1646{number:07d}\n" for number in range(2_000_000, 2_010_001))
        answer = self._account.call(
            "POST",
            "contacts",
            content=f"Mobile\n{rows}",
            headers={"content-type": "text/csv"},
        )
        assert answer.status_code == 201, answer.text
        job = answer.json()["data"]["jobId"]
        until(lambda: self._account.get(f"imports/{job}")["status"] == "complete", "an import", 60)
        return job

    def webhook(self) -> str:
        made = self._post("webhooks", {"url": next(_hooks), "eventTypes": ["contact-removed"]})
        return quote(made["url"], safe="")

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._account.call("POST", path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]
