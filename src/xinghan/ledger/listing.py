"""Lists the accounts, by number, page by page; a striped account stands in the list once."""

from __future__ import annotations

from typing import Final

from xinghan.kit.db import Connection
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import ACCOUNT
from xinghan.kit.money import Currency
from xinghan.ledger.accounts import fetch_balances
from xinghan.ledger.model import Balance
from xinghan.ledger.records import Page
from xinghan.ledger.statements import PAGE_MAX

# The lowest numbers of each bucket by the primary key; a striped account is taken from bucket 0.
LIST_ACCOUNTS: Final = """
    SELECT a.id FROM generate_series(0, 63) AS b (bucket)
    CROSS JOIN LATERAL (
        SELECT x.id
        FROM ledger.account AS x
        WHERE x.bucket = b.bucket::smallint AND x.id > $1
            AND ((x.id & 255) = x.bucket OR x.bucket = 0)
            AND ($2::text IS NULL OR x.kind = $2)
            AND ($3::integer IS NULL OR (x.id >> 8 & 1023) = $3)
        ORDER BY x.id
        LIMIT $4
    ) AS a
    ORDER BY a.id
    LIMIT $4
"""


async def list_accounts(
    connection: Connection,
    *,
    kind: str | None = None,
    currency: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Balance]:
    """List accounts with their balances. Raises CurrencyUnknown, IdMalformed, Invalid."""
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(field="limit")
    number = Currency.of(currency).number if currency else None
    last = ACCOUNT.parse(cursor, field="cursor") if cursor else 0
    rows = await connection.fetch(LIST_ACCOUNTS, last, kind, number, limit + 1)
    accounts = [row["id"] for row in rows][:limit]
    balances = await fetch_balances(connection, accounts) if accounts else []
    more = len(rows) > limit
    return Page(tuple(balances), ACCOUNT.show(accounts[-1]) if more else None)
