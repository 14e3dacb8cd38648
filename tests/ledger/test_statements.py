"""Statements: every entry once, in order, with the balance of the whole account after it."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from bookkeeping import Bookkeeper, new_id
from xinghan.kit.db import Connection
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import AccountId, PostingId
from xinghan.ledger import (
    AccountNotFound,
    Capture,
    CursorMalformed,
    Kind,
    Leg,
    Post,
    PostingNotFound,
    Release,
    StatementLine,
    fetch_posting,
    fetch_statement,
    search_postings,
)
from xinghan.ledger.cursors import encode_cursor
from xinghan.ledger.numbers import account_number
from xinghan.ledger.reading import FIND_BY_METADATA
from xinghan.ledger.statements import _SearchPlace, _StatementPlace


async def statement(
    books: Bookkeeper, account: AccountId, *, limit: int = 500, newest_first: bool = True
) -> list[StatementLine]:
    """Read a whole statement, page by page."""
    lines: list[StatementLine] = []
    cursor = None
    while True:
        async with books.database.acquire() as connection:
            page = await fetch_statement(
                connection, account, cursor=cursor, limit=limit, newest_first=newest_first
            )
        assert len(page.items) <= limit
        lines += page.items
        cursor = page.next_cursor
        if cursor is None:
            return lines


async def test_a_statement_says_what_happened(books: Bookkeeper) -> None:
    mei = await books.open()
    lin = await books.open()
    await books.fund(lin, 100)
    sale = Post(new_id(), (Leg(lin, mei, 30),), metadata={"order": "7"})
    await books.accept(sale)
    hold = await books.hold(Leg(lin, mei, 50))
    await books.accept(Capture(new_id(), hold.id, lin & 255, 20))
    await books.accept(Release(new_id(), hold.id, lin & 255))
    lines = await statement(books, lin, newest_first=False)
    assert [(ln.kind, ln.change_minor, ln.balance_minor, ln.available_minor) for ln in lines] == [
        (Kind.POST, 100, 100, 100),
        (Kind.POST, -30, 70, 70),
        (Kind.HOLD, 0, 70, 20),
        (Kind.CAPTURE, -20, 50, 20),
        (Kind.RELEASE, 0, 50, 50),
    ]
    assert (lines[1].posting, lines[1].counterparty) == (sale.id, mei)
    assert (lines[1].metadata, lines[1].amount_minor) == ({"order": "7"}, 30)
    assert lines[3].refers_to == hold.id
    assert await statement(books, lin) == lines[::-1]
    received = await statement(books, mei, newest_first=False)
    assert [(ln.change_minor, ln.balance_minor, ln.available_minor) for ln in received] == [
        (30, 30, 30),
        (0, 30, 30),
        (20, 50, 50),
        (0, 50, 50),
    ]
    assert {line.counterparty for line in received} == {lin}


async def test_a_debit_normal_account_reads_in_its_own_sign(books: Bookkeeper) -> None:
    cash = await books.open(kind="cash", debit_normal=True)
    lin = await books.open()
    await books.post(Leg(cash, lin, 100))
    await books.post(Leg(lin, cash, 40))
    lines = await statement(books, cash)
    assert [(line.change_minor, line.balance_minor) for line in lines] == [(-40, 60), (100, 100)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_striped_account_reads_as_one(
    books: Bookkeeper,
    limit: int,
    newest_first: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    shop = await books.open(striped=True)
    people = [await books.funded(1000, bucket=bucket) for bucket in (3, 9, 3, 60)]
    for turn in range(9):
        await books.post(Leg(people[turn % 4], shop, turn + 1))
    await books.ledger.post_batch([Post(new_id(), (Leg(person, shop, 5),)) for person in people])
    hold = await books.hold(Leg(shop, people[0], 2))
    await books.accept(Capture(new_id(), hold.id, 3, 1))
    await books.post(Leg(shop, shop, 4, 9, 3))
    oldest_first = await statement(books, shop, newest_first=False)
    changes = [line.change_minor for line in oldest_first]
    assert [line.balance_minor for line in oldest_first] == [
        sum(changes[: place + 1]) for place in range(len(changes))
    ]
    assert [line.created_at for line in oldest_first] == sorted(
        line.created_at for line in oldest_first
    )
    last = oldest_first[-1]
    balance = await books.balance(shop)
    assert (last.balance_minor, last.available_minor) == (
        balance.balance_minor,
        balance.available_minor,
    )
    paged = await statement(books, shop, limit=limit, newest_first=newest_first)
    assert paged == (oldest_first[::-1] if newest_first else oldest_first)


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_neither_repeat_nor_miss_what_is_posted_between(
    books: Bookkeeper,
    newest_first: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    shop = await books.open(striped=True)
    people = [await books.funded(1000, bucket=bucket) for bucket in (3, 9)]
    for turn in range(6):
        await books.post(Leg(people[turn % 2], shop, 1))
    before = await statement(books, shop, newest_first=newest_first)
    lines: list[StatementLine] = []
    cursor = None
    for turn in range(20):
        async with books.database.acquire() as connection:
            page = await fetch_statement(
                connection, shop, cursor=cursor, limit=2, newest_first=newest_first
            )
        lines += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        if turn < 3:
            await books.post(Leg(people[turn % 2], shop, 1))
    if newest_first:
        assert lines == before
    else:
        assert lines == await statement(books, shop, newest_first=False)
        assert len(lines) == 9


async def test_an_empty_account_has_an_empty_statement(books: Bookkeeper) -> None:
    for striped in (True, False):
        assert await statement(books, await books.open(striped=striped)) == []
    async with books.database.acquire() as connection:
        with pytest.raises(AccountNotFound):
            await fetch_statement(connection, account_number(2**40, 156, 1))


@pytest.mark.parametrize("limit", [0, -1, 501])
async def test_a_page_has_a_size(books: Bookkeeper, limit: int) -> None:
    lin = await books.open()
    async with books.database.acquire() as connection:
        with pytest.raises(Invalid):
            await fetch_statement(connection, lin, limit=limit)
        with pytest.raises(Invalid):
            await search_postings(connection, {"a": 1}, limit=limit)


# The same in every worker of a test run: it is part of tests' names.
SOME_POSTING = PostingId(UUID(int=7))
LIN = account_number(1, 156, 1)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "no cursor",
        "茶",
        "=" * 8,
        "A" * 5000,
        encode_cursor(_StatementPlace(LIN, True, [])),
        encode_cursor(_StatementPlace(LIN, True, [1, 1])),
        encode_cursor(_StatementPlace(LIN, True, [-1])),
        encode_cursor(_StatementPlace(LIN, True, [2**63])),
        encode_cursor(_StatementPlace(LIN, False, [1])),
        encode_cursor(_StatementPlace(LIN + 1, True, [1])),
        encode_cursor(_SearchPlace(1, 1, SOME_POSTING)),
    ],
)
async def test_a_cursor_that_is_not_of_this_statement(books: Bookkeeper, cursor: str) -> None:
    lin = await books.open(bucket=1)
    assert lin == LIN
    async with books.database.acquire() as connection:
        with pytest.raises(CursorMalformed):
            await fetch_statement(connection, lin, cursor=cursor)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        encode_cursor(_StatementPlace(LIN, True, [1])),
        encode_cursor(_SearchPlace(-1, 1, SOME_POSTING)),
        encode_cursor(_SearchPlace(2**62, 1, SOME_POSTING)),
        encode_cursor(_SearchPlace(1, 64, SOME_POSTING)),
    ],
)
async def test_a_cursor_that_is_not_of_this_search(books: Bookkeeper, cursor: str) -> None:
    async with books.database.acquire() as connection:
        with pytest.raises(CursorMalformed):
            await search_postings(connection, {"a": 1}, cursor=cursor)


async def test_a_posting_is_found_with_all_its_legs(books: Bookkeeper) -> None:
    lin, mei, fee = await books.funded(100), await books.open(), await books.open(striped=True)
    sale = Post(new_id(), (Leg(lin, mei, 60), Leg(mei, fee, 1)), metadata={"order": "7"})
    result = await books.accept(sale)
    async with books.database.acquire() as connection:
        written = await fetch_posting(connection, result.bucket, sale.id)
        with pytest.raises(PostingNotFound):
            await fetch_posting(connection, (result.bucket + 1) % 64, sale.id)
    assert written.movements == result.movements
    assert [(leg.debit, leg.credit) for leg in written.legs] == [(lin, mei), (mei, fee)]
    assert (written.metadata, written.reversed) == ({"order": "7"}, False)


async def test_postings_are_searched_by_their_metadata(books: Bookkeeper) -> None:
    lin, mei = await books.funded(1000), await books.open()
    ids = []
    for number in range(7):
        metadata = {"order": {"shop": "tea", "number": number % 2}, "tags": ["a", "b"]}
        legs = (Leg(lin, mei, 1), Leg(mei, lin, 1))
        result = await books.accept(Post(new_id(), legs, metadata=metadata))
        ids.append(result.id)
    await books.post(Leg(lin, mei, 1))

    async def search(metadata: dict[str, Any], limit: int) -> list[object]:
        found: list[object] = []
        cursor = None
        while True:
            async with books.database.acquire() as connection:
                page = await search_postings(connection, metadata, cursor=cursor, limit=limit)
            assert all(len(posting.legs) == 2 for posting in page.items)
            found += [posting.id for posting in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert await search({"order": {"number": 1}}, 2) == ids[::-1][1::2]
    assert await search({"tags": ["b"]}, 3) == ids[::-1]
    assert await search({"order": {"shop": "tea"}}, 500) == ids[::-1]
    assert await search({"order": {"shop": "coffee"}}, 500) == []


@pytest.mark.parametrize("metadata", [{}, {"a": object()}, {"a": "nul\0"}, ["a"]])
async def test_a_search_needs_something_to_look_for(books: Bookkeeper, metadata: Any) -> None:  # noqa: ANN401
    async with books.database.acquire() as connection:
        with pytest.raises(Invalid) as refused:
            await search_postings(connection, metadata)
    assert refused.value.field == "metadata"


async def test_a_search_uses_its_index(owner: Connection) -> None:
    await owner.execute(
        """
        INSERT INTO ledger.posting (
            bucket, id, leg, kind, debit_bucket, debit_account, debit_version,
            credit_bucket, credit_account, credit_version, amount, created_at, metadata, transaction
        )
        SELECT 1, gen_random_uuid(), 0, 1, 1, 302081, n, 1, 564225, n, 1, now(),
            jsonb_build_object('order', n), 1
        FROM generate_series(1, 5000) AS n
        """
    )
    await owner.execute("ANALYZE ledger.posting")
    # A prepared statement is planned for any metadata, and must find the partial index then too.
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    await owner.execute(f"PREPARE find AS {FIND_BY_METADATA}")
    plan = await owner.fetch(
        f"""EXPLAIN EXECUTE find ('{{"order": 7}}', now(), 0::smallint, '{uuid4()}', 10)"""
    )
    assert any("posting_metadata" in row[0] for row in plan), plan
