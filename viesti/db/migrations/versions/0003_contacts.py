"""Contacts found by any part of them, lists of contacts, and counts that need no counting.

The functions make the tokens of the search index (viesti/domain/contacts/search.py). They are
immutable, and the one that runs for each stored contact is written out in steps without loops.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SEARCH = "contact_search(account_id, mobile, first_name, last_name, email, tags)"

# Texts of up to so many trigrams are cut without a loop: a number alone, with a first name,
# with both names, with an e-mail address.
STEPS = (10, 24, 48, 72)

_TRIGRAM = "(get_byte(b, {0}) << 16 | get_byte(b, {1}) << 8 | get_byte(b, {2})) # seed"
_EACH_TRIGRAM = (
    f"ARRAY(SELECT {_TRIGRAM.format('i', 'i + 1', 'i + 2')} FROM generate_series(0, n - 1) i)"
)


def _step(count: int) -> str:
    trigrams = ", ".join(_TRIGRAM.format(i, i + 1, i + 2) for i in range(count))
    return (
        f"IF n <= {count} THEN\n"
        f"    b := b || '\\x{'00' * (count + 2)}';\n"
        f"    found := (ARRAY[{trigrams}])[1:n];"
    )


def _functions() -> list[str]:
    steps = "\n  ELS".join(_step(count) for count in STEPS)
    return [
        "CREATE FUNCTION search_grams(account uuid, x text) RETURNS int[]"
        " LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$\n"
        "DECLARE\n"
        "  seed int := uuid_hash(account);\n"
        "  b bytea := convert_to(x, 'UTF8');\n"
        "  n int := octet_length(b) - 2;\n"
        "BEGIN\n"
        f"  RETURN {_EACH_TRIGRAM};\n"
        "END $$",
        "CREATE FUNCTION search_tags(account uuid, tags text[]) RETURNS int[]"
        " LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$\n"
        "  SELECT ARRAY(SELECT hashtext(tag) # uuid_hash(account) # 1 FROM unnest(tags) tag)\n"
        "$$",
        # The cost keeps the planner from working the tokens out row by row. It calls nothing of
        # ours: analyze and restore run it without a search path.
        "CREATE FUNCTION contact_search(account uuid, mobile text, first_name text,"
        " last_name text, email text, tags text[]) RETURNS int[]"
        " LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$\n"
        "DECLARE\n"
        "  seed int := uuid_hash(account);\n"
        "  x text := CASE WHEN first_name IS NULL AND last_name IS NULL AND email IS NULL\n"
        "    THEN substr(mobile, 2)\n"
        "    ELSE concat_ws(E'\\n\\n', substr(mobile, 2),\n"
        "      nullif(lower(concat_ws(' ', first_name, last_name)), ''), upper(lower(email)))\n"
        "    END;\n"
        "  b bytea := convert_to(x, 'UTF8');\n"
        # Who is written to by a name ("O2") has fewer octets than a trigram.
        "  n int := greatest(octet_length(b) - 2, 0);\n"
        "  found int[];\n"
        "BEGIN\n"
        f"  {steps}\n"
        f"  ELSE found := {_EACH_TRIGRAM};\n"
        "  END IF;\n"
        "  IF tags <> '{}' THEN\n"
        "    found := found || ARRAY(SELECT hashtext(tag) # seed # 1 FROM unnest(tags) tag);\n"
        "  END IF;\n"
        "  RETURN found;\n"
        "END $$",
    ]


def upgrade() -> None:
    for function in _functions():
        op.execute(function)
    op.create_index(
        "ix_contacts_search",
        "contacts",
        [sa.text(SEARCH)],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    # Its work is done by the tokens of the tags.
    op.drop_index("ix_contacts_tags", "contacts")
    _create_lists()
    _create_counts()


def _moment(name: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, postgresql.TIMESTAMP(timezone=True), **options)  # type: ignore[arg-type]


def _create_lists() -> None:
    op.create_table(
        "lists",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("keyword", sa.Text(), nullable=True, comment="texted to join, upper case"),
        sa.Column("prompt", sa.Text(), nullable=True, comment="null: no double opt-in"),
        sa.Column("confirmation", sa.Text(), nullable=True, comment="the text after an opt-in"),
        sa.Column(
            "filter",
            postgresql.JSONB(),
            nullable=True,
            comment="whom it holds; null: whoever was added",
        ),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_lists")),
        comment="tenant: contacts that are texted together, added by hand or matched by a filter",
    )
    op.create_index("uq_lists_account_id_name", "lists", ["account_id", "name"], unique=True)
    op.create_table(
        "list_members",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("list_id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        _moment("opt_in_at", nullable=True),
        _moment("opt_out_at", nullable=True, comment="not texted by this list until it opts in"),
        _moment("created_at", nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "list_id", "contact_id", name=op.f("pk_list_members")
        ),
        comment="tenant: who was added to a list, and what it said of its own consent",
    )
    op.create_index("ix_list_members_contact_id", "list_members", ["contact_id"], unique=False)


def _create_counts() -> None:
    op.create_table(
        "row_counts",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="contacts, messages, conversations"),
        sa.Column("until", sa.UUID(), nullable=False, comment="ids from here on are not counted"),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="deleted ones included"),
        sa.Column("removed", sa.BigInteger(), nullable=False, server_default="0"),
        _moment("recounted_at", nullable=False),
        sa.PrimaryKeyConstraint("account_id", "kind", name=op.f("pk_row_counts")),
        comment="tenant: how many rows an account has up to an id that is surely past",
    )
    op.create_table(
        "contact_removals",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "contact_id", name=op.f("pk_contact_removals")),
        comment="tenant: contacts deleted since row_counts was last brought up to date",
    )


def downgrade() -> None:
    raise NotImplementedError("Lists and their members would be lost: restore a backup instead.")
