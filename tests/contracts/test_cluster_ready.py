"""The tables can be distributed over nodes by `bucket`, as they are (docs/concepts/ledger.md).

On a cluster a key is only kept within one node. So the bucket comes first in every key of what a
payment touches, and nothing refers across buckets.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import xinghan
from xinghan.kit.db import Connection

# Small tables that every node has whole, or that no payment touches: with the reason for each.
REFERENCE_TABLES: Final[Mapping[str, str]] = {
    "ledger.block": "written by the one sealer, behind the postings",
    "wallets.merchant_account": "a few rows for each merchant, hardly ever written",
    "wallets.platform_account": "a few rows for each currency, hardly ever written",
}
SCHEMAS: Final = ["ledger", "payments", "wallets"]

UNIQUE_INDEXES: Final = """
    SELECT i.indrelid::regclass::text AS table_name, i.indexrelid::regclass::text AS name,
        (
            SELECT a.attname FROM pg_attribute AS a
            WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        ) AS first_column
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indrelid
    WHERE i.indisunique AND c.relnamespace = ANY($1::text []::regnamespace [])
"""

TABLES: Final = """
    SELECT c.oid::regclass::text AS name, c.relpersistence::text AS persistence,
        EXISTS (
            SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary
        ) AS has_primary_key,
        (
            SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = 'bucket' AND a.attnotnull
        ) AS bucket
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = ANY($1::text []::regnamespace [])
"""

# Exclusion constraints and foreign keys.
CONSTRAINTS: Final = """
    SELECT conname FROM pg_constraint
    WHERE contype IN ('f', 'x') AND connamespace = ANY($1::text []::regnamespace [])
"""

TRIGGERS: Final = """
    SELECT t.tgrelid::regclass || ' ' || t.tgname AS name, t.tgfoid::regproc::text AS function,
        t.tgtype
    FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND c.relnamespace = ANY($1::text []::regnamespace [])
"""

# pg_trigger.tgtype: for each row 1, before 2, insert 4, delete 8, update 16, truncate 32.
BEFORE_STATEMENT_THAT_TAKES_AWAY: Final = 2 | 8 | 16 | 32

SEQUENCE_DEFAULTS: Final = """
    SELECT d.adrelid::regclass::text FROM pg_attrdef AS d
    JOIN pg_class AS c ON c.oid = d.adrelid
    WHERE pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval%'
        AND c.relnamespace = ANY($1::text []::regnamespace [])
"""


# Verification reads all books at one moment; it posts nothing.
READS_A_SNAPSHOT: Final = "ledger/verification/"


async def test_the_bucket_comes_first_in_every_key(owner: Connection) -> None:
    indexes = await owner.fetch(UNIQUE_INDEXES, SCHEMAS)
    wrong = {
        row["name"]: row["first_column"]
        for row in indexes
        if row["first_column"] != "bucket" and row["table_name"] not in REFERENCE_TABLES
    }
    assert wrong == {}
    assert {row["table_name"] for row in indexes} >= {
        "ledger.account",
        "ledger.posting",
        "ledger.entry",
        "ledger.hold",
    }


async def test_every_table_has_a_bucket_and_a_key(owner: Connection) -> None:
    tables = await owner.fetch(TABLES, SCHEMAS)
    for table in tables:
        assert table["has_primary_key"], table["name"]
        assert table["persistence"] == "p", table["name"]
        if table["name"] not in REFERENCE_TABLES:
            assert table["bucket"] == "smallint", table["name"]
    assert {table["name"] for table in tables} >= REFERENCE_TABLES.keys()


async def test_nothing_refers_across_buckets(owner: Connection) -> None:
    assert await owner.fetch(CONSTRAINTS, SCHEMAS) == []


async def test_the_only_triggers_are_those_that_refuse_changes(owner: Connection) -> None:
    """A trigger on a distributed table would have to see other nodes."""
    triggers = await owner.fetch(TRIGGERS, SCHEMAS)
    for trigger in triggers:
        assert trigger["function"] == "ledger.refuse_change", trigger["name"]
        assert trigger["tgtype"] == BEFORE_STATEMENT_THAT_TAKES_AWAY, trigger["name"]
    assert {trigger["name"].split(" ")[0] for trigger in triggers} >= {
        "ledger.posting",
        "ledger.entry",
        "ledger.account_change",
    }


async def test_no_key_is_counted_by_the_database(owner: Connection) -> None:
    """Only account numbers are counted, and their sequence is taken by name."""
    assert await owner.fetch(SEQUENCE_DEFAULTS, SCHEMAS) == []


def test_no_transaction_is_serializable() -> None:
    """That isolation is not offered across nodes; the rules lock what they judge instead."""
    asked = re.compile(r"serializable|repeatable[ _]read", re.IGNORECASE)
    root = Path(xinghan.__file__).parent
    found = [
        path.relative_to(root).as_posix()
        for room in ("ledger", "payments", "wallets")
        for path in (root / room).rglob("*")
        if path.suffix in {".py", ".sql"} and asked.search(path.read_text())
    ]
    assert [path for path in found if not path.startswith(READS_A_SNAPSHOT)] == []
