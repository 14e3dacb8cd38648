"""Checks the books against the journal, in the database: its rows are too many to carry."""

from typing import Final

from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import ACCOUNT, POSTING
from xinghan.kit.money import Currency
from xinghan.ledger.model import BUCKETS
from xinghan.ledger.verification.report import (
    FINDINGS_MAX,
    Check,
    Finding,
    Findings,
    Progress,
    Task,
)
from xinghan.ledger.verification.statements import CHECKS, ENTRIES

TOTALS_DIFFER: Final = frozenset({"posted_totals_differ", "pending_totals_differ"})

POSTINGS_PER_SLICE: Final = 1_500_000
SLICES_MIN: Final = 2
BUCKET_LOWEST: Final = -(2**15)
BUCKET_HIGHEST: Final = 2**15 - 1

TABLES: Final = ("account", "account_change", "block", "entry", "hold", "posting")
APPEND_ONLY: Final = ("account_change", "block", "entry", "posting")

FIND_UNGUARDED: Final = """
    SELECT t.name,
        CASE WHEN c.relkind IS DISTINCT FROM 'r' THEN 'no_table' ELSE 'not_append_only' END AS what
    FROM unnest($1::text []) AS t (name)
    LEFT JOIN pg_class AS c
        ON c.relname = t.name AND c.relnamespace = (
            SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = 'ledger'
        )
    WHERE c.relkind IS DISTINCT FROM 'r' OR (
        t.name = ANY ($2::text []) AND NOT EXISTS (
            SELECT FROM pg_trigger AS g
            WHERE g.tgrelid = c.oid AND g.tgname = t.name || '_append_only'
                AND g.tgenabled IN ('O', 'A')
        )
    )
"""

COUNT: Final = """
    SELECT (SELECT count(*) FROM ledger.posting) AS postings,
        (SELECT count(*) FROM ledger.account) AS accounts
"""


async def count_books(connection: Connection) -> tuple[int, int]:
    """Count the journal's rows and the accounts' rows."""
    row = await connection.fetchrow(COUNT)
    return (row["postings"], row["accounts"]) if row else (0, 0)


async def check_guards(connection: Connection) -> list[Check]:
    """Check that the tables are tables, and that the database lets none of them be rewritten."""
    findings = Findings("guards")
    for row in await connection.fetch(FIND_UNGUARDED, list(TABLES), list(APPEND_ONLY)):
        findings.add(row["what"], table=f"ledger.{row['name']}")
    return [findings.check()]


def tasks_of_books(postings: int, progress: Progress) -> list[Task]:
    """Give the checks of a journal of `postings` rows as tasks that can be done side by side."""
    slices = _slices(postings)
    entries = [_check_entries(part, len(slices), progress) for part in slices]
    return [*entries, *(_check_by(name, CHECKS[name], progress) for name in CHECKS)]


def _slices(postings: int) -> list[tuple[int, int]]:
    """Cut the buckets into slices that sort in memory; none is left out that should not exist."""
    count = min(BUCKETS, max(SLICES_MIN, postings // POSTINGS_PER_SLICE))
    starts = [BUCKETS * place // count for place in range(count)]
    ends = [start - 1 for start in starts[1:]]
    return list(zip([BUCKET_LOWEST, *starts[1:]], [*ends, BUCKET_HIGHEST], strict=True))


def _check_entries(buckets: tuple[int, int], slices: int, progress: Progress) -> Task:
    async def check(connection: Connection) -> list[Check]:
        rows = await _fetch_wrong(connection, ENTRIES, *buckets)
        progress("entries", 1, slices)
        return [_as_check("entries", rows)]

    return check


def _check_by(name: str, statement: str, progress: Progress) -> Task:
    async def check(connection: Connection) -> list[Check]:
        rows = await _fetch_wrong(connection, statement)
        progress(name, 1, 1)
        return [_as_check(name, rows)]

    return check


async def _fetch_wrong(connection: Connection, statement: str, *arguments: object) -> list[Row]:
    statement = f"""
        SELECT wrong.*, count(*) OVER () AS total FROM ({statement}) AS wrong LIMIT {FINDINGS_MAX}
    """  # noqa: S608 (both are constants)
    return await connection.fetch(statement, *arguments)


def _as_check(name: str, rows: list[Row]) -> Check:
    return Check(name, rows[0]["total"] if rows else 0, tuple(map(_finding, rows)))


def _finding(row: Row) -> Finding:
    facts: dict[str, object] = {}
    if row["part"] is not None:
        is_currency = row["what"] in TOTALS_DIFFER
        facts["part"] = Currency.numbered(int(row["part"])).code if is_currency else row["part"]
    if row["account"] is not None:
        facts["account"] = ACCOUNT.show(row["account"])
    if row["posting"] is not None:
        facts["posting"] = POSTING.show(row["posting"])
    facts |= {name: row[name] for name in ("bucket", "leg", "version") if row[name] is not None}
    if row["expected"] is not None or row["found"] is not None:
        facts |= {"expected": row["expected"], "found": row["found"]}
    return Finding(row["what"], facts)
