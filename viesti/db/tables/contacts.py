"""Tenant tables of people: contacts, tags, lists, opt-outs, conversations, and their counts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from viesti.db.tables._kinds import Kind, account_key, moment, table, uuid_column

contacts = table(
    Kind.TENANT,
    "contacts",
    "a person or phone that an account texts",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("mobile", Text, nullable=False, comment="E.164 with plus"),
    Column("country", Text, nullable=False, server_default=""),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("email", Text),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    moment("opted_in_at"),
    moment("noticed_at", comment="when the first-message notice went out"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    moment("deleted_at", comment="kept for the identifiers that the messages show"),
    Index(
        "uq_contacts_account_id_mobile",
        "account_id",
        "mobile",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    # Parts of names, e-mail, number, and the tags: the only index that a search needs
    # (viesti/domain/contacts/search.py).
    Index(
        "ix_contacts_search",
        text("contact_search(account_id, mobile, first_name, last_name, email, tags)"),
        postgresql_using="gin",
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

hidden_tags = table(
    Kind.TENANT,
    "hidden_tags",
    "tags that an account does not show; any other is visible",
    account_key(),
    Column("tag", Text, primary_key=True),
)

lists = table(
    Kind.TENANT,
    "lists",
    "contacts that are texted together, added by hand or matched by a filter",
    account_key(),
    uuid_column("id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("keyword", Text, comment="texted to join, upper case"),
    Column("prompt", Text, comment="null: no double opt-in"),
    Column("confirmation", Text, comment="the text after an opt-in"),
    Column("filter", JSONB, comment="whom it holds; null: whoever was added"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    Index("uq_lists_account_id_name", "account_id", "name", unique=True),
    Index(
        "uq_lists_account_id_keyword",
        "account_id",
        "keyword",
        unique=True,
        postgresql_where=text("keyword IS NOT NULL"),
    ),
)

list_members = table(
    Kind.TENANT,
    "list_members",
    "who was added to a list, and what it said of its own consent",
    account_key(),
    uuid_column("list_id", primary_key=True),
    uuid_column("contact_id", primary_key=True),
    moment("opt_in_at"),
    moment("opt_out_at", comment="not texted by this list until it opts in"),
    moment("created_at", nullable=False),
    Index("ix_list_members_contact_id", "contact_id"),
)

list_prompts = table(
    Kind.TENANT,
    "list_prompts",
    "contacts that were asked lately whether they want to be on a list",
    account_key(),
    uuid_column("contact_id", primary_key=True),
    uuid_column("list_id", primary_key=True),
    uuid_column(
        "conversation_id", nullable=True, comment="where a yes is awaited; null: no longer"
    ),
    moment("asked_at", nullable=False),
)

row_counts = table(
    Kind.TENANT,
    "row_counts",
    "how many rows an account has up to an id that is surely past",
    account_key(),
    Column("kind", Text, primary_key=True, comment="contacts, messages, conversations"),
    uuid_column("until", comment="ids from here on are not counted"),
    Column("rows", BigInteger, nullable=False, comment="deleted ones included"),
    Column("removed", BigInteger, nullable=False, server_default="0"),
    moment("recounted_at", nullable=False),
)

contact_removals = table(
    Kind.TENANT,
    "contact_removals",
    "contacts deleted since row_counts was last brought up to date",
    account_key(),
    uuid_column("contact_id", primary_key=True),
)

opt_outs = table(
    Kind.TENANT,
    "opt_outs",
    "numbers that asked for no further texts; by number, so that no deletion or import undoes it",
    account_key(),
    Column("mobile", Text, primary_key=True),
    moment("at", nullable=False),
    Column("source", Text, nullable=False, comment="keyword, person"),
    Column("word", Text, nullable=False, server_default=""),
    uuid_column("sender_id", nullable=True, comment="the sender that was told"),
)

conversations = table(
    Kind.TENANT,
    "conversations",
    "the thread between one sender and one contact; at most one is open",
    account_key(),
    uuid_column("id", primary_key=True),
    uuid_column("contact_id"),
    uuid_column("sender_id"),
    Column("mobile", Text, nullable=False),
    Column("sender", Text, nullable=False),
    uuid_column("last_message_id", nullable=True),
    Column(
        "unread",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="nobody has read what came in last",
    ),
    moment("last_inbound_at", comment="null: nothing came in"),
    Column(
        "read_by",
        ARRAY(UUID(as_uuid=True)),
        nullable=False,
        server_default=text("'{}'::uuid[]"),
        comment="the users who have read what came in last",
    ),
    moment("flagged_at", comment="an inbound text read like an opt-out without being one"),
    moment("created_at", nullable=False),
    moment("updated_at", nullable=False),
    moment("closed_at"),
    Index(
        "uq_conversations_open",
        "account_id",
        "sender_id",
        "contact_id",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index("ix_conversations_contact_id", "account_id", "contact_id"),
    # A bulk send changes every row of a page at once: the new versions find room beside the old.
    postgresql_with={"fillfactor": "45"},
)
