"""Checks the books against the journal, in the database: ten million rows are not carried elsewhere."""

from typing import Final

from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import ACCOUNT, POSTING
from xinghan.kit.money import Currency
from xinghan.ledger.verification.report import FINDINGS_MAX, Check, Finding, Progress
from xinghan.ledger.verification.statements import CHECKS

TOTALS_DIFFER: Final = frozenset({"posted_totals_differ", "pending_totals_differ"})

COUNT: Final = """
    SELECT (SELECT count(*) FROM ledger.posting) AS postings, (SELECT count(*) FROM ledger.account) AS accounts
"""


async def count_books(connection: Connection) -> tuple[int, int]:
    """Count the journal's rows and the accounts' rows."""
    row = await connection.fetchrow(COUNT)
    return (row["postings"], row["accounts"]) if row else (0, 0)


async def check_books(connection: Connection, progress: Progress) -> list[Check]:
    """Check everything that the journal says about accounts, entries and holds."""
    return [
        await _check(connection, name, statement, progress) for name, statement in CHECKS.items()
    ]


async def _check(
    connection: Connection, name: str, statement: str, progress: Progress
) -> Check:
    progress(name, 0, 1)
    rows = await connection.fetch(
        f"SELECT wrong.*, count(*) OVER () AS total FROM ({statement}) AS wrong LIMIT {FINDINGS_MAX}"  # noqa: S608 (both are constants)
    )
    progress(name, 1, 1)
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
