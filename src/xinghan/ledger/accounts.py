"""Opens accounts, reads their balances, and freezes, limits or closes them.

Everything runs inside the caller's transaction. An account's rows are locked in the order in which
posting locks them, (bucket, account), so that neither waits for the other in a circle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from xinghan.kit.db import Connection, Row
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import ACCOUNT, AccountId, uuid7
from xinghan.kit.money import Currency
from xinghan.ledger.books import Counters
from xinghan.ledger.model import (
    BUCKETS,
    TURNOVER_MAX_MINOR,
    AccountBeyondLimit,
    AccountClosed,
    AccountNotEmpty,
    AccountNotFound,
    Balance,
    NewAccount,
)
from xinghan.ledger.numbers import account_number, buckets_of, currency_numeric_of
from xinghan.ledger.store import lock_accounts

_KIND: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)

TAKE_SEQUENCES: Final = """
    SELECT nextval('ledger.account_sequence') FROM generate_series(1, $1::integer)
"""

INSERT_ACCOUNTS: Final = """
    INSERT INTO ledger.account (bucket, id, kind, debit_normal, floor_minor, ceiling_minor)
    SELECT * FROM unnest(
        $1::smallint [], $2::bigint [], $3::text [], $4::boolean [], $5::bigint [], $6::bigint []
    )
"""

FETCH_BALANCES: Final = """
    SELECT a.id, a.kind, a.debit_normal,
        sum(a.debits_posted) AS debits_posted, sum(a.credits_posted) AS credits_posted,
        sum(a.debits_pending) AS debits_pending, sum(a.credits_pending) AS credits_pending,
        sum(a.version) AS version,
        bool_or(a.debits_refused) AS debits_refused, bool_or(a.credits_refused) AS credits_refused,
        bool_or(a.closed) AS closed
    FROM unnest($1::smallint [], $2::bigint []) AS u (bucket, id)
    JOIN ledger.account AS a ON a.bucket = u.bucket AND a.id = u.id
    GROUP BY a.id, a.kind, a.debit_normal
"""

SET_REFUSALS: Final = """
    UPDATE ledger.account
    SET debits_refused = CASE WHEN $3 THEN $5 ELSE debits_refused END,
        credits_refused = CASE WHEN $4 THEN $5 ELSE credits_refused END
    WHERE bucket = ANY($1::smallint []) AND id = $2
"""

SET_LIMITS: Final = """
    UPDATE ledger.account SET floor_minor = $3, ceiling_minor = $4
    WHERE bucket = ANY($1::smallint []) AND id = $2
"""

SET_CLOSED: Final = """
    UPDATE ledger.account SET closed = true WHERE bucket = ANY($1::smallint []) AND id = $2
"""

INSERT_CHANGE: Final = """
    INSERT INTO ledger.account_change (bucket, account, id, change, detail, actor, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def open_account(connection: Connection, new: NewAccount) -> AccountId:
    """Open one account and give its number. Raises Invalid, CurrencyUnknown."""
    return (await open_accounts(connection, [new]))[0]


async def open_accounts(connection: Connection, new: Sequence[NewAccount]) -> list[AccountId]:
    """Open accounts and give their numbers in the same order; all are opened, or none.

    An account without a bucket that is not striped gets the one that its sequence number falls in.
    Raises Invalid or CurrencyUnknown, naming the field.
    """
    numerics = [_check_new(account) for account in new]
    sequences = await _take_sequences(connection, len(new))
    numbers = [
        account_number(sequence, numeric, _bucket_for(account, sequence))
        for account, numeric, sequence in zip(new, numerics, sequences, strict=True)
    ]
    await _insert_accounts(connection, list(zip(numbers, new, strict=True)))
    return numbers


async def fetch_balance(connection: Connection, account: AccountId) -> Balance:
    """Read an account as it is now. Raises AccountNotFound."""
    return (await fetch_balances(connection, [account]))[0]


async def fetch_balances(connection: Connection, accounts: Sequence[AccountId]) -> list[Balance]:
    """Read accounts as they are at one moment, in the order asked. Raises AccountNotFound."""
    rows = {(bucket, account) for account in accounts for bucket in buckets_of(account)}
    found = await connection.fetch(
        FETCH_BALANCES, [bucket for bucket, _ in rows], [account for _, account in rows]
    )
    balances = {row["id"]: _balance(row) for row in found}
    for account in accounts:
        if account not in balances:
            raise AccountNotFound(account=ACCOUNT.show(account))
    return [balances[account] for account in accounts]


async def freeze_account(
    connection: Connection,
    account: AccountId,
    actor: str,
    reason: str,
    *,
    debits: bool = True,
    credits: bool = True,  # noqa: A002 (the ledger's own word)
) -> None:
    """Refuse debits, credits or both from now on; what is on hold can still be captured.

    Raises AccountNotFound, AccountClosed, Invalid.
    """
    await _set_refusals(connection, account, debits=debits, credits_=credits, refused=True)
    detail = {"debits": debits, "credits": credits}
    await _record_change(connection, account, "freeze", detail, actor, reason)


async def unfreeze_account(
    connection: Connection,
    account: AccountId,
    actor: str,
    reason: str,
    *,
    debits: bool = True,
    credits: bool = True,  # noqa: A002 (the ledger's own word)
) -> None:
    """Accept debits, credits or both again. Raises AccountNotFound, AccountClosed, Invalid."""
    await _set_refusals(connection, account, debits=debits, credits_=credits, refused=False)
    detail = {"debits": debits, "credits": credits}
    await _record_change(connection, account, "unfreeze", detail, actor, reason)


async def limit_account(
    connection: Connection,
    account: AccountId,
    actor: str,
    reason: str,
    *,
    floor_minor: int | None,
    ceiling_minor: int | None,
) -> None:
    """Bound what is available from below and the balance from above; None takes a bound away.

    The bounds hold for each stripe of a striped account by itself. Raises AccountBeyondLimit when
    the account does not keep them now; AccountNotFound, AccountClosed, Invalid.
    """
    _check_bounds(floor_minor, ceiling_minor)
    rows = await _lock_open(connection, account)
    before = {"floor_minor": rows[0].floor, "ceiling_minor": rows[0].ceiling}
    for row in rows:
        row.floor, row.ceiling = floor_minor, ceiling_minor
        if row.limit_debit(0) or row.limit_credit(0):
            raise AccountBeyondLimit(account=ACCOUNT.show(account))
    await connection.execute(
        SET_LIMITS, list(buckets_of(account)), account, floor_minor, ceiling_minor
    )
    detail = {"floor_minor": floor_minor, "ceiling_minor": ceiling_minor, "before": before}
    await _record_change(connection, account, "limit", detail, actor, reason)


async def close_account(
    connection: Connection, account: AccountId, actor: str, reason: str
) -> None:
    """Close an empty account for ever. Raises AccountNotEmpty, AccountNotFound, AccountClosed."""
    for row in await _lock_open(connection, account):
        pending = row.debits_pending or row.credits_pending
        if row.debits_posted != row.credits_posted or pending:
            raise AccountNotEmpty(account=ACCOUNT.show(account))
    await connection.execute(SET_CLOSED, list(buckets_of(account)), account)
    await _record_change(connection, account, "close", {}, actor, reason)


def _check_new(new: NewAccount) -> int:
    """Give the currency's numeric code, if everything else is in order."""
    if not _KIND.fullmatch(new.kind):
        raise Invalid(field="kind")
    if new.bucket is not None and (new.striped or new.bucket not in range(BUCKETS)):
        raise Invalid(field="bucket")
    _check_bounds(new.floor_minor, new.ceiling_minor)
    if new.floor_minor is not None and new.floor_minor > 0:
        raise Invalid(field="floor_minor")
    if new.ceiling_minor is not None and new.ceiling_minor < 0:
        raise Invalid(field="ceiling_minor")
    return Currency.of(new.currency).number


def _check_bounds(floor_minor: int | None, ceiling_minor: int | None) -> None:
    for field, bound in (("floor_minor", floor_minor), ("ceiling_minor", ceiling_minor)):
        if bound is not None and (type(bound) is not int or abs(bound) > TURNOVER_MAX_MINOR):
            raise Invalid(field=field)
    if floor_minor is not None and ceiling_minor is not None and floor_minor > ceiling_minor:
        raise Invalid(field="ceiling_minor")


def _bucket_for(new: NewAccount, sequence: int) -> int | None:
    if new.striped:
        return None
    return sequence % BUCKETS if new.bucket is None else new.bucket


async def _take_sequences(connection: Connection, count: int) -> list[int]:
    return [number for (number,) in await connection.fetch(TAKE_SEQUENCES, count)]


async def _insert_accounts(
    connection: Connection, accounts: Iterable[tuple[AccountId, NewAccount]]
) -> None:
    rows = [
        (bucket, number, new.kind, new.debit_normal, new.floor_minor, new.ceiling_minor)
        for number, new in accounts
        for bucket in buckets_of(number)
    ]
    columns = zip(*rows, strict=True) if rows else [[]] * 6
    await connection.execute(INSERT_ACCOUNTS, *map(list, columns))


async def _set_refusals(
    connection: Connection, account: AccountId, *, debits: bool, credits_: bool, refused: bool
) -> None:
    if not debits and not credits_:
        raise Invalid(field="debits")
    await _lock_open(connection, account)
    await connection.execute(
        SET_REFUSALS, list(buckets_of(account)), account, debits, credits_, refused
    )


async def _lock_open(connection: Connection, account: AccountId) -> list[Counters]:
    """Lock every row of an account. Raises AccountNotFound, AccountClosed."""
    wanted = [(bucket, account) for bucket in buckets_of(account)]
    rows = await lock_accounts(connection, wanted)
    if not rows:
        raise AccountNotFound(account=ACCOUNT.show(account))
    if any(row.closed for row in rows.values()):
        raise AccountClosed(account=ACCOUNT.show(account))
    return list(rows.values())


async def _record_change(
    connection: Connection,
    account: AccountId,
    change: str,
    detail: Mapping[str, object],
    actor: str,
    reason: str,
) -> None:
    """Write who changed the account and why, beside its first row."""
    for field, text in (("actor", actor), ("reason", reason)):
        if not text.strip():
            raise Invalid(field=field)
    bucket = buckets_of(account)[0]
    await connection.execute(INSERT_CHANGE, bucket, account, uuid7(), change, detail, actor, reason)


def _balance(row: Row) -> Balance:
    debits, credits_ = int(row["debits_posted"]), int(row["credits_posted"])
    held_out, held_in = int(row["debits_pending"]), int(row["credits_pending"])
    balance, held = credits_ - debits, held_out
    if row["debit_normal"]:
        balance, held = -balance, held_in
    return Balance(
        row["id"],
        Currency.numbered(currency_numeric_of(row["id"])).code,
        row["kind"],
        balance,
        balance - held,
        debits,
        credits_,
        held_out,
        held_in,
        int(row["version"]),
        row["debits_refused"],
        row["credits_refused"],
        row["closed"],
    )
