"""In which order the Postman collection calls the API, and what one call keeps for the next."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the collection.

    ``keeps`` are collection variables and the JavaScript that finds their values in the answer's
    ``body``; ``paths`` and ``queries`` fill parameters; ``sets`` changes fields of the example body,
    None leaves one out; ``before`` runs before the request; ``checks`` run after it.
    """

    operation: str
    title: str = ""
    keeps: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    sets: dict[str, object] = field(default_factory=dict)
    csv: str = ""
    before: str = ""
    checks: tuple[str, ...] = ()

    @property
    def extra(self) -> bool:
        """Whether the operation stands elsewhere too, as itself."""
        return bool(self.title)


# More rows than one call takes, of one number: a job that leaves one contact behind.
_LARGE_FILE = (
    'const rows = Array(10001).fill("Grace,+13475550107");\n'
    'pm.collectionVariables.set("largeFile", ["First Name,Mobile", ...rows].join("\\n"));'
)
# A list's name and keyword are taken once, and the same text to a number leaves once in half an hour:
# runs differ.
_NOW = 'pm.collectionVariables.set("time", new Date().toISOString().slice(11, 19));'
_TOMORROW = (
    "const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000);\n"
    'pm.collectionVariables.set("tomorrow", tomorrow.toISOString());'
)
_SAME_CONTACT = 'pm.expect(body.data.firstName).to.equal("Ada");'
_FILLED_IN = "pm.expect(body.data.messages[0].message).to.match(/^Hi Ada, /);"

# Variables that the scripts above set.
SET_BEFORE = ("largeFile", "time", "tomorrow")

# From top to bottom: what a request needs was made by one before it, what is deleted comes last.
FOLDERS: dict[str, list[Step]] = {
    "Token": [Step("auth.token", keeps={"token": "body.access_token"})],
    "Contacts": [
        Step("contacts.create", keeps={"contactId": "body.data[0].id"}),
        Step("contacts.fetchAll"),
        Step("contacts.fetch", checks=(_SAME_CONTACT,)),
        Step("contacts.update", checks=(_SAME_CONTACT,)),
        Step(
            "contacts.create",
            title="Create contacts from a CSV file",
            csv="First Name,Mobile,Tags,Plan\nGrace,+13475550107,VIP|new,gold\n",
            checks=("pm.expect(body.data.success).to.equal(1);",),
        ),
        Step(
            "contacts.create",
            title="Create contacts from a large CSV file",
            csv="{{largeFile}}",
            before=_LARGE_FILE,
            keeps={"importId": "body.data.jobId"},
        ),
        Step("imports.fetch", checks=("pm.expect(body.data.submitted).to.equal(10001);",)),
        Step("imports.cancel"),
    ],
    "Lists": [
        Step(
            "lists.create",
            before=_NOW,
            sets={"name": "Guests {{time}}", "keyword": "JOIN {{time}}"},
            keeps={"listId": "body.data.id"},
        ),
        Step("lists.fetchAll"),
        Step("lists.fetch"),
        Step("lists.update", sets={"name": "Regulars {{time}}", "keyword": "JOIN {{time}}"}),
        Step("lists.addContacts", checks=("pm.expect(body.data.added).to.equal(1);",)),
    ],
    "Templates": [
        Step("templates.create", keeps={"templateId": "body.data[0].id"}),
        Step("templates.fetchAll"),
        Step("templates.fetch"),
        Step("templates.update"),
        Step("templates.preview"),
        Step("templates.previewStored", queries={"contactId": "{{contactId}}"}),
    ],
    "Groups": [Step("groups.fetchAll", keeps={"groupId": "body.data[0].id"})],
    "Messages": [
        Step(
            "messages.send",
            before=_NOW,
            sets={"template": "Hi {{firstName}}, your order came at {{time}}"},
            keeps={
                "messageId": "body.data.messages[0].id",
                "conversationId": "body.data.messages[0].conversation.id",
                "jobId": "body.data.jobId",
            },
            checks=(_FILLED_IN,),
        ),
        Step("messages.fetchAll", queries={"jobId": "{{jobId}}"}),
        Step("messages.fetch"),
        Step("jobs.fetchAll"),
        Step("jobs.fetch", checks=("pm.expect(body.data.requested).to.equal(1);",)),
        Step(
            "messages.send",
            title="Send a text tomorrow",
            before=f"{_NOW}\n{_TOMORROW}",
            sets={
                "template": "Hi {{firstName}}, see you tomorrow at {{time}}",
                "sendAt": "{{tomorrow}}",
            },
            keeps={"laterMessageId": "body.data.messages[0].id", "laterJobId": "body.data.jobId"},
            checks=(
                _FILLED_IN,
                'pm.expect(body.data.messages[0].status).to.equal("scheduled");',
            ),
        ),
        Step(
            "messages.cancel",
            paths={"messageId": "{{laterMessageId}}"},
            checks=('pm.expect(body.data.status).to.equal("canceled");',),
        ),
        Step("jobs.cancel", paths={"jobId": "{{laterJobId}}"}),
    ],
    "Conversations": [
        Step("conversations.fetchAll"),
        Step("conversations.fetch"),
        Step("conversations.close", checks=("pm.expect(body.data.closed).to.be.a('string');",)),
    ],
    "Campaigns": [
        Step("campaigns.create", keeps={"campaignId": "body.data.id"}),
        Step("campaigns.fetchAll"),
        Step("campaigns.fetch"),
        Step("campaigns.update"),
        Step("campaigns.execute"),
        Step("campaigns.pause", checks=("pm.expect(body.data.paused).to.be.ok;",)),
        Step("campaigns.resume", checks=("pm.expect(body.data.paused).to.be.undefined;",)),
        Step("campaigns.runs"),
        Step(
            "campaigns.create",
            title="Create a campaign for files",
            sets={
                "name": "Orders",
                "template": "Hi {{firstName}}, {{Order}} is ready",
                "trigger": {"code": "FU"},
                "filters": None,
            },
            keeps={"fileCampaignId": "body.data.id"},
        ),
        Step(
            "campaigns.upload",
            paths={"campaignId": "{{fileCampaignId}}"},
            csv="First Name,Mobile,Order\nGrace,+13475550107,A-17\n",
        ),
        Step("campaigns.quick"),
        Step(
            "campaigns.quick",
            title="Text a list tomorrow",
            before=_TOMORROW,
            sets={"sendAt": "{{tomorrow}}"},
            keeps={"laterCampaignId": "body.data.campaign.id"},
        ),
        Step("campaigns.cancel", paths={"campaignId": "{{laterCampaignId}}"}),
    ],
    "Shared files": [
        Step("tools.shareFile", checks=('pm.expect(body.data.link).to.include("/f/");',))
    ],
    "Webhooks": [
        Step(
            "webhooks.subscribe",
            keeps={"webhookUrl": "encodeURIComponent(body.data.url)"},
            checks=("pm.expect(body.data.secret).to.match(/^whsec_/);",),
        ),
        Step("webhooks.fetchAll"),
    ],
    "Clean up": [
        Step("webhooks.unsubscribe", paths={"url": "{{webhookUrl}}"}),
        Step("campaigns.remove"),
        Step("templates.remove"),
        Step("lists.removeContacts", checks=("pm.expect(body.data.removed).to.equal(1);",)),
        Step("lists.remove"),
        Step("contacts.remove"),
    ],
}
