"""The ledger's API: open accounts, post, and read the books."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from xinghan.kit.errors import Invalid
from xinghan.kit.ids import ACCOUNT
from xinghan.kit.native import Actor, Cursor, Format, Limit, Reader, Store, refusals
from xinghan.kit.native_types import AccountRef, Instant, PostingRef, decimal_of
from xinghan.kit.tables import CSV_CONTENT, csv_response
from xinghan.ledger import proof
from xinghan.ledger.accounts import (
    fetch_balance,
    freeze_account,
    open_account,
    unfreeze_account,
)
from xinghan.ledger.answers import (
    ACCOUNT_COLUMNS,
    ENTRY_COLUMNS,
    AccountAnswer,
    AccountsAnswer,
    BalanceAnswer,
    EntryAnswer,
    HeadAnswer,
    HeadsAnswer,
    PostingAnswer,
    PostingsAnswer,
    ProofAnswer,
    ResultAnswer,
    ResultsAnswer,
    StatementAnswer,
    TrialBalanceAnswer,
    TrialBalancesAnswer,
    account_row,
    entry_row,
)
from xinghan.ledger.bodies import (
    CurrencyCode,
    FreezeBody,
    KindName,
    NewAccountBody,
    PostingsBody,
    RequestBody,
)
from xinghan.ledger.listing import list_accounts
from xinghan.ledger.posting import Ledger, Linked
from xinghan.ledger.proof.store import fetch_blocks
from xinghan.ledger.statements import (
    fetch_balance_by_ledger_time,
    fetch_balance_by_world_time,
    fetch_posting,
    fetch_statement,
    fetch_trial_balance,
    search_postings,
)

router = APIRouter(prefix="/ledger", tags=["ledger"])


async def _ledger(request: Request) -> Ledger:
    """Give the serving process's ledger, in which callers share commits."""
    ledger: Ledger = request.app.state.platform.ledger
    return ledger


TheLedger = Annotated[Ledger, Depends(_ledger)]
AccountPath = Annotated[AccountRef, Path()]
BucketPath = Annotated[int, Path(ge=0, le=63)]


@router.post("/accounts", status_code=201, summary="Open an account")
async def open_ledger_account(store: Store, body: NewAccountBody) -> AccountAnswer:
    """Open an account; the platform chooses its number."""
    async with store.transaction() as connection:
        account = await open_account(connection, body.new_account())
        return AccountAnswer.of(await fetch_balance(connection, account))


@router.get(
    "/accounts", summary="List accounts", response_model=AccountsAnswer, responses=CSV_CONTENT
)
async def list_ledger_accounts(
    store: Store,
    kind: KindName | None = None,
    currency: CurrencyCode | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
    format: Format = "json",  # noqa: A002 (the parameter's public name)
) -> AccountsAnswer | Response:
    """List accounts by number, with their balances."""

    async def fetch(cursor: str | None, limit: int) -> AccountsAnswer:
        async with store.acquire() as connection:
            page = await list_accounts(
                connection, kind=kind, currency=currency, cursor=cursor, limit=limit
            )
        items = [AccountAnswer.of(balance) for balance in page.items]
        return AccountsAnswer(items=items, next_cursor=page.next_cursor)

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        page = await fetch(cursor, limit)
        return [account_row(one) for one in page.items], page.next_cursor

    if format == "csv":
        return await csv_response("accounts", ACCOUNT_COLUMNS, fetch_rows)
    return await fetch(cursor, limit)


@router.get("/accounts/{account}", summary="Read an account", responses=refusals(404))
async def read_ledger_account(store: Store, account: AccountPath) -> AccountAnswer:
    """Read an account as it is now."""
    async with store.acquire() as connection:
        return AccountAnswer.of(await fetch_balance(connection, account))


@router.get(
    "/accounts/{account}/entries",
    summary="Read a statement",
    response_model=StatementAnswer,
    responses=CSV_CONTENT | refusals(404),
)
async def read_statement(
    store: Store,
    account: AccountPath,
    cursor: Cursor = None,
    limit: Limit = 50,
    order: Annotated[
        Literal["newest", "oldest"], Query(description="Which come first.")
    ] = "newest",
    format: Format = "json",  # noqa: A002 (the parameter's public name)
) -> StatementAnswer | Response:
    """Read an account's entries with the running balance after each."""

    async def fetch(cursor: str | None, limit: int) -> StatementAnswer:
        async with store.acquire() as connection:
            balance = await fetch_balance(connection, account)
            page = await fetch_statement(
                connection, account, cursor=cursor, limit=limit, newest_first=order == "newest"
            )
        return StatementAnswer(
            account=ACCOUNT.show(account),
            currency=balance.currency,
            items=[EntryAnswer.of(line, balance.currency) for line in page.items],
            next_cursor=page.next_cursor,
        )

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        page = await fetch(cursor, limit)
        return [entry_row(one, page.currency) for one in page.items], page.next_cursor

    if format == "csv":
        return await csv_response(ACCOUNT.show(account), ENTRY_COLUMNS, fetch_rows)
    return await fetch(cursor, limit)


@router.get(
    "/accounts/{account}/balance", summary="Read a balance of the past", responses=refusals(404)
)
async def read_past_balance(
    store: Store,
    account: AccountPath,
    at: Annotated[Instant | None, Query(description="None: now.")] = None,
    by: Annotated[
        Literal["ledger", "world"],
        Query(
            description="`ledger`: what the books said at that instant; `world`: what had happened"
            " by then, also what was booked later."
        ),
    ] = "ledger",
) -> BalanceAnswer:
    """Read what an account held at an instant."""
    instant = at or datetime.now(UTC)
    available: int | None = None
    async with store.acquire() as connection:
        currency = (await fetch_balance(connection, account)).currency
        if by == "ledger":
            past = await fetch_balance_by_ledger_time(connection, account, instant)
            balance, available = past.balance_minor, past.available_minor
        else:
            balance = await fetch_balance_by_world_time(connection, account, instant)
    return BalanceAnswer.model_construct(
        account=ACCOUNT.show(account),
        currency=currency,
        at=instant,
        by=by,
        balance_minor=balance,
        balance=decimal_of(balance, currency),
        available_minor=available,
        available=None if available is None else decimal_of(available, currency),
    )


@router.post(
    "/accounts/{account}/freeze", summary="Freeze an account", responses=refusals(404, 409)
)
async def freeze_ledger_account(
    store: Store, actor: Actor, account: AccountPath, body: FreezeBody
) -> AccountAnswer:
    """Refuse debits, credits or both; what is on hold can still be captured or released."""
    async with store.transaction() as connection:
        await freeze_account(
            connection, account, actor, body.reason, debits=body.debits, credits=body.credits
        )
        return AccountAnswer.of(await fetch_balance(connection, account))


@router.post(
    "/accounts/{account}/unfreeze", summary="Unfreeze an account", responses=refusals(404, 409)
)
async def unfreeze_ledger_account(
    store: Store, actor: Actor, account: AccountPath, body: FreezeBody
) -> AccountAnswer:
    """Accept debits, credits or both again."""
    async with store.transaction() as connection:
        await unfreeze_account(
            connection, account, actor, body.reason, debits=body.debits, credits=body.credits
        )
        return AccountAnswer.of(await fetch_balance(connection, account))


@router.post("/postings", summary="Post a batch", responses=refusals(413))
async def post_batch(ledger: TheLedger, reader: Reader, body: PostingsBody) -> ResultsAnswer:
    """Post, hold, capture, release or reverse: one result for each, whatever becomes of the others.

    The answer is 200 also when requests were refused: read each `outcome`. Requests that are
    `linked` to the next one stand or fall with it.
    """
    groups = _groups(body.requests)
    results = await ledger.post_groups(groups)
    return ResultsAnswer(
        results=[ResultAnswer.of(result, reader) for group in results for result in group]
    )


@router.get("/postings", summary="Search postings by metadata")
async def search_ledger_postings(
    store: Store,
    metadata: Annotated[
        str,
        Query(
            max_length=4096,
            description="A JSON object: postings whose metadata contain all of it.",
            examples=['{"order":"A-1001"}'],
        ),
    ],
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PostingsAnswer:
    """Find postings whose metadata contain every given key with its value, newest first."""
    async with store.acquire() as connection:
        page = await search_postings(
            connection, _read_metadata(metadata), cursor=cursor, limit=limit
        )
    items = [PostingAnswer.of(written) for written in page.items]
    return PostingsAnswer(items=items, next_cursor=page.next_cursor)


@router.get("/postings/{bucket}/{posting}", summary="Read a posting", responses=refusals(404))
async def read_posting(
    store: Store, bucket: BucketPath, posting: Annotated[PostingRef, Path()]
) -> PostingAnswer:
    """Read one posting with all its legs."""
    async with store.acquire() as connection:
        return PostingAnswer.of(await fetch_posting(connection, bucket, posting))


@router.get(
    "/postings/{bucket}/{posting}/proof",
    summary="Prove a posting",
    responses=refusals(404, 409),
)
async def prove_posting(
    store: Store, bucket: BucketPath, posting: Annotated[PostingRef, Path()]
) -> ProofAnswer:
    """Prove that each leg of a posting is in the chain of signed heads.

    409 while the posting is not sealed yet.
    """
    async with store.transaction() as connection:
        await fetch_posting(connection, bucket, posting)
        return ProofAnswer(proofs=await proof.prove(connection, posting))


@router.get("/trial-balance", summary="Read the trial balance")
async def read_trial_balance(store: Store) -> TrialBalancesAnswer:
    """Sum all accounts at one moment, by currency and kind."""
    async with store.acquire() as connection:
        trials = await fetch_trial_balance(connection)
    return TrialBalancesAnswer(currencies=[TrialBalanceAnswer.of(trial) for trial in trials])


@router.get("/heads", summary="List the chain's signed heads")
async def list_heads(store: Store, cursor: Cursor = None, limit: Limit = 50) -> HeadsAnswer:
    """List sealed blocks from the first one; keep their heads elsewhere."""
    if cursor is not None and not (cursor.isdecimal() and len(cursor) <= len(str(2**31))):
        raise Invalid(field="cursor")
    async with store.acquire() as connection:
        blocks = await fetch_blocks(connection, int(cursor or 0), limit + 1)
    items = [HeadAnswer.model_validate(block.to_json()) for block in blocks[:limit]]
    more = len(blocks) > limit
    return HeadsAnswer(items=items, next_cursor=str(items[-1].number) if more else None)


def _groups(requests: Sequence[RequestBody]) -> list[Linked]:
    """Gather what is linked to its next one. Raises Invalid when the last one is."""
    groups: list[Linked] = []
    group: Linked = ()
    for body in requests:
        group = (*group, body.request())
        if not body.linked:
            groups.append(group)
            group = ()
    if group:
        raise Invalid(field=f"requests.{len(requests) - 1}.linked")
    return groups


def _read_metadata(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Invalid(field="metadata") from None
