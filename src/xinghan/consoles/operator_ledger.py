"""The ledger explorer: accounts by kind, an account with its entries, a posting with its legs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xinghan.consoles.operator import HOME, signed_in
from xinghan.consoles.view import platform_of, render
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import ACCOUNT, POSTING, AccountId
from xinghan.kit.money import Currency
from xinghan.kit.tables import csv_response
from xinghan.ledger.accounts import fetch_balance
from xinghan.ledger.answers import (
    ACCOUNT_COLUMNS,
    ENTRY_COLUMNS,
    AccountAnswer,
    EntryAnswer,
    account_row,
    entry_row,
)
from xinghan.ledger.listing import list_accounts
from xinghan.ledger.model import BUCKETS, PostingNotFound
from xinghan.ledger.numbers import currency_numeric_of, is_striped
from xinghan.ledger.proof.store import fetch_block_of, fetch_legs
from xinghan.ledger.statements import fetch_posting, fetch_statement, fetch_trial_balance

ROWS: Final = 25
_KIND: Final = re.compile(r"[a-z_]{1,40}")


@signed_in
async def show_ledger(request: Request) -> Response:
    """Show what kinds of accounts there are, by currency, and whether they balance."""
    async with platform_of(request).database.acquire() as connection:
        trials = await fetch_trial_balance(connection)
    return render(request, "operator/ledger.html", {"trials": trials})


@signed_in
async def show_accounts(request: Request) -> Response:
    """Show the accounts of a kind and currency, or export them."""
    kind = request.query_params.get("kind") or None
    currency = request.query_params.get("currency") or None
    if kind is not None and not _KIND.fullmatch(kind):
        raise Invalid(field="kind")
    database = platform_of(request).database

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        async with database.acquire() as connection:
            page = await list_accounts(
                connection, kind=kind, currency=currency, cursor=cursor, limit=limit
            )
        return [account_row(AccountAnswer.of(one)) for one in page.items], page.next_cursor

    if request.query_params.get("format") == "csv":
        return await csv_response("accounts", ACCOUNT_COLUMNS, fetch_rows)
    async with database.acquire() as connection:
        page = await list_accounts(
            connection, kind=kind, currency=currency, cursor=_cursor(request), limit=ROWS
        )
    facts = {"page": page, "kind": kind, "currency": currency}
    return render(request, "operator/accounts.html", facts)


@signed_in
async def show_account(request: Request) -> Response:
    """Show an account and its entries, newest first, or export them."""
    account = ACCOUNT.parse(request.path_params["account"], field="account")
    database = platform_of(request).database
    async with database.acquire() as connection:
        balance = await fetch_balance(connection, account)
        page = await fetch_statement(connection, account, cursor=_cursor(request), limit=ROWS)

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        async with database.acquire() as connection:
            page = await fetch_statement(connection, account, cursor=cursor, limit=limit)
        lines = [EntryAnswer.of(line, balance.currency) for line in page.items]
        return [entry_row(line, balance.currency) for line in lines], page.next_cursor

    if request.query_params.get("format") == "csv":
        return await csv_response(ACCOUNT.show(account), ENTRY_COLUMNS, fetch_rows)
    facts = {"account": balance, "page": page, "striped": is_striped(account)}
    return render(request, "operator/account.html", facts)


@signed_in
async def show_posting(request: Request) -> Response:
    """Show a posting with its legs, and the sealed block that proves it."""
    posting = POSTING.parse(request.path_params["posting"], field="posting")
    bucket = request.path_params["bucket"]
    if bucket not in range(BUCKETS):
        raise PostingNotFound(posting=POSTING.show(posting))
    async with platform_of(request).database.acquire() as connection:
        written = await fetch_posting(connection, bucket, posting)
        legs = [leg for leg in await fetch_legs(connection, posting) if leg.bucket == bucket]
        block = await fetch_block_of(connection, legs[0]) if legs else None
    metadata = written.metadata
    facts = {
        "written": written,
        "block": block,
        "metadata": json.dumps(metadata, ensure_ascii=False, indent=2) if metadata else None,
        "currency_of": _currency_of,
    }
    return render(request, "operator/posting.html", facts)


def _cursor(request: Request) -> str | None:
    return request.query_params.get("cursor") or None


def _currency_of(account: AccountId) -> str:
    return Currency.numbered(currency_numeric_of(account)).code


ROUTES: Final = [
    Route(f"{HOME}/ledger", show_ledger),
    Route(f"{HOME}/accounts", show_accounts),
    Route(f"{HOME}/accounts/{{account}}", show_account),
    Route(f"{HOME}/postings/{{bucket:int}}/{{posting}}", show_posting),
]
